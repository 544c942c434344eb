"""Sparkplug B: messages of MQTT whose metrics are named and typed by births."""
