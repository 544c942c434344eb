"""What leaves a process about its work: traces (docs/traces.md), lineage (docs/lineage.md), how logs look."""
