"""HTTP: events are POSTed to a stream's address, and answered with a receipt after the spool's fsync."""
