"""Dagster around the lake: names, timing, checks and alerts; and the `millrace` command.

No broker client is imported here and no event is read here: that is ingestion's work.
"""
