"""The streams that the demo's plant sends to: over which broker, and how their events are counted at the end.

Nothing is sent here. Every count of the demo and of the drill goes through this list.
"""

from dataclasses import dataclass


@dataclass(frozen=True)
class PlantStream:
    """One stream.

    Attributes:
        name: As streams.yml declares it.
        broker: How people call what it is sent over.
        id_field: Names an event; two deliveries of one carry the same.
        mart: Shows the last batch that it holds, as `last_batch_id`.
        counts: SQL for how many events the marts hold.
        is_keyed: Its sender names each request, so that a repeated one is not even in raw twice.
    """

    name: str
    broker: str
    id_field: str
    mart: str
    counts: str
    is_keyed: bool = False

    @property
    def staging(self) -> str:
        """Where its events are, each once."""
        return f"staging.stg_{self.name}"


TELEMETRY = PlantStream(
    "plant_telemetry", "MQTT", "reading_id", "marts.machine_status",
    "select coalesce(sum(readings), 0) from marts.machine_minute",
)  # fmt: skip
ORDERS = PlantStream(
    "production_orders", "Kafka", "order_event_id", "marts.order_progress",
    "select coalesce(sum(events), 0) from marts.order_progress",
)  # fmt: skip
INSPECTIONS = PlantStream(
    "quality_inspections", "HTTP", "inspection_id", "marts.order_quality",
    "select coalesce(sum(inspections), 0) from marts.order_quality", is_keyed=True,
)  # fmt: skip
METERS = PlantStream(
    "energy_meters", "RabbitMQ", "meter_reading_id", "marts.line_energy",
    "select coalesce(sum(readings), 0) from marts.line_energy",
)  # fmt: skip
SHIPMENTS = PlantStream(
    "parcel_scans", "Kinesis", "scan_id", "marts.order_shipping",
    "select coalesce(sum(scans), 0) from marts.order_shipping",
)  # fmt: skip

PLANT = (TELEMETRY, ORDERS, INSPECTIONS)
"""Those of the plant's own project, in the order in which they are shown."""
PLANT_NAMES = frozenset(stream.name for stream in PLANT)
GUEST_NAMES = frozenset({METERS.name, SHIPMENTS.name})
"""Those of brokers that the demo has only where their servers are installed (guests/)."""
