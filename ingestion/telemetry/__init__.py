"""What leaves a process about its work: traces for OpenTelemetry (docs/traces.md), lineage, and how logs look."""
