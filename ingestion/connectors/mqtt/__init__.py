"""MQTT: messages are collected into a spool and acknowledged after its fsync."""
