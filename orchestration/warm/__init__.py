"""The warm process: everything a run needs is imported once, and each run is a fork of it.

keeper (third-party libraries, the socket, the table of runs) → template (a fork that has the project's code,
replaced when that changes) → worker (a fork of the template, one run). Clients talk to it through `protocol`.
Nothing here knows what a run does. See docs/architecture.md.
"""
