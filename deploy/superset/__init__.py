"""Apache Superset beside a running Millrace: an environment of its own, and the plant's dashboard as YAML.

`make superset` runs it; docs/bi.md says what it shows. Nothing of Superset is imported here: its pins clash
with the product's, so it is installed apart and asked by HTTP.
"""
