"""The process that listens to senders and fills the spools."""
