"""What every source is read through: a log with partitions and positions, and the envelope of its events."""
