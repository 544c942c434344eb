"""One event's way: from its sender's log over raw and staging to the rows that it touched."""
