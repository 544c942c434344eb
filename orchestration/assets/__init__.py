"""Assets: the brokers' topics, the raw tables, the dbt models."""
