"""dbt in this process: the project, its parsed manifest, commands and their results."""
