"""Embedded services (PostgreSQL, demo brokers) and the supervision of child processes."""
