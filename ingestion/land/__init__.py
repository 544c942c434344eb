"""From a log into the lake: batches, and the ways back for rejects, replays and lost spools."""
