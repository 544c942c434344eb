"""Dagster's code server as `millrace up` starts it."""
