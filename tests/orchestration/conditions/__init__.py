"""Tests of what does not work: the journal, the looks, the alerts, every surface."""
