"""Data checks: what a table promises (contracts.py, raw_contracts.py) and whether it holds (soda.py).

Nothing here knows Dagster; the assets turn outcomes into asset checks. Meaning of the four results: soda.py.
"""
