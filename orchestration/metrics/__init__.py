"""The exporter: what a running system does, as Prometheus reads it. docs/metrics.md lists every name."""
