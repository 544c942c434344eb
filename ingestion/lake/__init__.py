"""The DuckLake: its connection, its PostgreSQL catalog, loads in one transaction, the ledger of positions."""
