"""What happens inside a run: batches, cycles, the plan of what is built, what a run shares."""
