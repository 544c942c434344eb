"""Brings a lake of an earlier release to the version that this one writes."""
