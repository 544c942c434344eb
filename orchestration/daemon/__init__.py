"""Dagster's daemon, which evaluates sensors and schedules: it goes on when the clock is set back."""
