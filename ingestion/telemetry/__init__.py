"""Traces for OpenTelemetry: what a cycle did, from the producers' spans to the reaction. docs/traces.md."""
