"""Schemas that stand in a registry (Confluent's API): how values name them, and where they are kept."""
