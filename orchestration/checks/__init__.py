"""Data checks: what a table promises (contracts.py, raw_contracts.py) and whether it holds (soda.py).

Those know nothing of Dagster: adapter.py turns outcomes into asset checks. The four results: outcomes.py.
"""
