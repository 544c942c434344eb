"""The web UI's door: who may ask Dagster's web server for what. Its pages and its API are Dagster's."""
