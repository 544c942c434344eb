"""The lake compared with the logs: lag, and the recount. Nothing is read from a log or written here."""
