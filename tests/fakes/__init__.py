"""A broker that is a log, one that is listened to, and a format: written from docs/extending.md alone."""
