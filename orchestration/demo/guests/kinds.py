"""The guests that the demo knows."""

from orchestration.demo.guests.guest import Guest
from orchestration.demo.streams import METERS, SHIPMENTS
from orchestration.services.kinesis import EmulatedKinesis, is_moto_installed
from orchestration.services.rabbitmq import LocalRabbitMq, rabbitmq_program

RABBITMQ = Guest(
    kind="rabbitmq",
    stream=METERS,
    destination=f"stream:{METERS.name}",
    has_server=lambda: rabbitmq_program() is not None,
    make_server=lambda folder: LocalRabbitMq(folder / "rabbitmq"),
    access=lambda port: {"host": "127.0.0.1", "port": str(port)},
    remedy="Debian's rabbitmq-server and 'millrace-lakehouse[rabbitmq]'",
)
KINESIS = Guest(
    kind="kinesis",
    stream=SHIPMENTS,
    destination=SHIPMENTS.name,
    has_server=is_moto_installed,
    make_server=EmulatedKinesis,
    access=lambda port: {"region": "eu-central-1", "endpoint_url": f"http://127.0.0.1:{port}"},
    remedy="'moto[server]', which emulates it, and 'millrace-lakehouse[kinesis]'",
)
EMULATED: dict[str, str | None] = {
    "AWS_ACCESS_KEY_ID": "emulated",
    "AWS_SECRET_ACCESS_KEY": "emulated",
    "AWS_SESSION_TOKEN": None,
    "AWS_PROFILE": None,  # it would come before the keys
    "AWS_DEFAULT_PROFILE": None,
}
"""Credentials for the emulator, where boto3 finds them; a demo must not use a developer's own."""
GUESTS = (RABBITMQ, KINESIS)


def present() -> tuple[Guest, ...]:
    """Those whose servers are here."""
    return tuple(guest for guest in GUESTS if guest.is_there)


def left_out() -> list[str]:
    """A sentence for each that is not here."""
    return [
        f"{guest.stream.broker} is left out: to see it, install {guest.remedy}"
        for guest in GUESTS
        if not guest.is_there
    ]
