"""Every kind of condition, made in a whole system, found on every surface, and mended."""
