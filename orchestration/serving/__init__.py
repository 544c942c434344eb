"""Marts in PostgreSQL for BI tools: all of them at one instant, in one transaction; a process of its own."""
