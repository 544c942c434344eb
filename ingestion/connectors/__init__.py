"""The brokers; one folder a kind. The port that they implement is in port.py."""
