"""What Dagster's PostgreSQL storage holds, read with plain SQL, and the overview made of it."""
