"""Marts for programs that ask over a network: which there are, what they hold, and in which notation."""
