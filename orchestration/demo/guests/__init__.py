"""Brokers that the demo has only where their servers are installed, each with a stream of its own.

A folder a kind holds what its stream adds to the plant's project; nothing of it is in the repository's own.
"""

from orchestration.demo.guests.guest import Guest, GuestBroker
from orchestration.demo.guests.kinds import EMULATED, GUESTS, left_out, present

__all__ = ["EMULATED", "GUESTS", "Guest", "GuestBroker", "left_out", "present"]
