"""Brokers → lake: plain Python and dlt, run and tested without Dagster.

Orchestration does not belong here. The way a batch goes through these files is in docs/architecture.md.
"""
