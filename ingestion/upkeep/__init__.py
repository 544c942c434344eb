"""Compaction, expiry and deletion of what nobody needs any more."""
