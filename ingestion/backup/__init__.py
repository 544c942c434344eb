"""Backups of a running lake, and restoring them."""
