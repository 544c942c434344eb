"""New projects: what `millrace new` writes, and the examples that the product carries."""
