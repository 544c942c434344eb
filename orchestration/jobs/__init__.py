"""The jobs that are not assets: refresh and audit, repairs, upkeep."""
