"""Command lines that `--help` ends with, command by command; how they are shown is in help.py."""

EXAMPLES: dict[str, tuple[str, ...]] = {
    "": ("millrace demo", "millrace new shop --example shop", "millrace --data-dir /data/shop status"),
    "up": ("millrace up", "MILLRACE_UI_PORT=3001 millrace up", "millrace up --no-ui"),
    "down": ("millrace down", "millrace --data-dir /data/shop down"),
    "demo": ("millrace demo", "millrace --data-dir /tmp/plant demo --for 60"),
    "drill": ("millrace --data-dir /tmp/drill drill",),
    "collect": ("millrace collect",),
    "new": ("millrace new mine", "millrace new shop --example shop"),
    "upgrade-project": ("millrace upgrade-project",),
    "status": ("millrace status", "millrace status --json"),
    "logs": (
        "millrace logs",
        "millrace logs --errors --since 1d",
        "millrace logs collector --follow",
        "millrace logs runs --since 2026-03-01T12:00",
    ),
    "open": ("millrace open", "millrace open 1f5c24c0"),
    "peek": (
        "millrace peek kafka:orders",
        "millrace peek mqtt:home/+/sensor --for 60",
        "millrace peek orders",
    ),
    "query": (
        'millrace query "from marts.ops_batches limit 5"',
        'millrace query "select count(*) from raw.orders" --json',
        'millrace query "from marts.ops_lag" --csv > lag.csv',
    ),
    "verify": ("millrace verify", "millrace verify orders --from 2026-03-01"),
    "doctor": ("millrace doctor", "millrace doctor --json"),
    "produce": (
        "millrace produce orders --file orders.ndjson",
        "millrace produce orders --rate 10 --count 100",
    ),
    "ingest": ("millrace ingest", "millrace ingest orders"),
    "replay": (
        "millrace replay orders",
        "millrace replay orders --from orders-0@17 --to orders-0@90",
        "millrace replay orders --from 2026-03-01T12:00 --no-models",
    ),
    "adopt": ("millrace adopt telemetry",),
    "rejects": ("millrace rejects list", "millrace rejects retry orders"),
    "rejects list": ("millrace rejects list", "millrace rejects list orders --reason not_json --all"),
    "rejects show": ("millrace rejects show orders orders-0@17",),
    "rejects retry": ("millrace rejects retry orders", "millrace rejects retry orders orders-0@17"),
    "rejects resolve": ('millrace rejects resolve orders orders-0@17 --note "sent by a test"',),
    "maintain": ("millrace maintain --dry-run", "millrace maintain"),
    "backup": ("millrace backup /backups/shop",),
    "restore": ("millrace --data-dir /data/new restore /backups/shop",),
}
"""Command, as one types it → its examples."""
