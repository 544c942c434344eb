"""What does not work now: one list, kept outside lake and catalog, for everything that shows it."""
