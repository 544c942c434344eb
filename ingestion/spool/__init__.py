"""A durable log for senders that do not keep their events: collectors write it, batches read it."""
