"""Sensors: they look and ask for runs; they never consume."""
