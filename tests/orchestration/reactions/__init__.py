"""Tests of reactions: the file, the ledger, the ways out, what operators ask."""
