"""Data checks: what a table promises (contracts.py, raw_contracts.py) and whether it holds (soda.py).

Nothing here knows Dagster: assets turn outcomes into asset checks. What the four results mean: outcomes.py.
"""
