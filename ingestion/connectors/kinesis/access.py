"""How Kinesis is reached."""

from ipaddress import ip_address
from urllib.parse import urlsplit

from ingestion.connectors.port import Access


class KinesisAccess(Access):
    """The variables MILLRACE_KINESIS_…; credentials come the way boto3 finds them (AWS_…, profiles, roles).

    Attributes:
        region: Such as eu-central-1; without one, nothing is collected.
        endpoint_url: Of a VPC endpoint or an emulator; else AWS's own for the region.
        profile: Which section of AWS's configuration files; else boto3's choice.
    """

    region: str | None = None
    endpoint_url: str | None = None
    profile: str | None = None

    @property
    def address(self) -> str:
        """Where it is, for people."""
        return self.endpoint_url or f"Kinesis in {self.region}"

    @property
    def namespace(self) -> str:
        """As in kinesis://eu-central-1."""
        return f"kinesis://{self.region}" if self.region else ""

    @property
    def is_local(self) -> bool:
        """Whether it listens on this machine, as an emulator does."""
        name = urlsplit(self.endpoint_url or "").hostname or ""
        try:
            return ip_address(name).is_loopback
        except ValueError:
            return name == "localhost"
