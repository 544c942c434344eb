"""What happens inside a run: its cycles, what it shares, how far its batches have come."""
