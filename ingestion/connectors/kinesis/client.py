"""boto3's client, and what its errors mean for whoever runs the system."""

from collections.abc import Iterator
from contextlib import contextmanager
from difflib import get_close_matches
from typing import Any

from ingestion.connectors.kinesis.access import KinesisAccess
from ingestion.errors import ConfigError, SourceMissing, SourceUnavailable

THROTTLED = frozenset(
    {
        "ProvisionedThroughputExceededException",
        "LimitExceededException",
        "ThrottlingException",
        "RequestLimitExceeded",
        "KMSThrottlingException",
    }
)
"""Codes of answers that mean: later."""

EXPIRED = "ExpiredIteratorException"
_MISSING = "ResourceNotFoundException"
_NAMES = 1_000


def open_client(access: KinesisAccess, *, timeout_seconds: float, connections: int = 10) -> Any:
    """A client; nothing is contacted before its first call.

    Args:
        access: How Kinesis is reached.
        timeout_seconds: Bound of connecting and of each answer.
        connections: How many calls may be under way at once.

    Raises:
        ConfigError: No region is set, or there is no such profile.
    """
    import boto3
    from botocore.config import Config
    from botocore.exceptions import ProfileNotFound

    if not access.region:
        raise ConfigError("no region of Kinesis is named: set MILLRACE_KINESIS_REGION, such as eu-central-1")
    try:
        session = boto3.session.Session(profile_name=access.profile, region_name=access.region)
    except ProfileNotFound as error:
        variable = "MILLRACE_KINESIS_PROFILE" if access.profile else "AWS_PROFILE"
        raise ConfigError(f"{variable}: {error}") from None
    # What listens on this machine is an emulator, which takes any: so `doctor` needs none beside a demo.
    any_will_do = {"aws_access_key_id": "none", "aws_secret_access_key": "none"}
    needs_none = access.is_local and session.get_credentials() is None
    try:
        return session.client(
            "kinesis",
            endpoint_url=access.endpoint_url,
            **(any_will_do if needs_none else {}),
            config=Config(
                connect_timeout=timeout_seconds,
                read_timeout=timeout_seconds,
                retries={"total_max_attempts": 1},  # whoever asks has waits of its own
                max_pool_connections=connections,
            ),
        )
    except ValueError as error:
        raise ConfigError(f"MILLRACE_KINESIS_REGION or MILLRACE_KINESIS_ENDPOINT_URL: {error}") from None


def code_of(error: Exception) -> str:
    """The code that the service gave with a refusal; empty of other errors."""
    answer = getattr(error, "response", None)
    return str(answer.get("Error", {}).get("Code", "")) if isinstance(answer, dict) else ""


@contextmanager
def translated(access: KinesisAccess, client: Any = None, *, stream: str = "") -> Iterator[None]:
    """Turn what boto3 raises into a sentence with place and remedy.

    Args:
        access: How Kinesis is reached.
        client: Asked for similar names of a data stream that does not exist.
        stream: The data stream.

    Raises:
        SourceMissing: There is no such data stream.
        SourceUnavailable: Anything else.
    """
    from botocore.exceptions import BotoCoreError, ClientError

    try:
        yield
    except (BotoCoreError, ClientError) as error:
        if code_of(error) == _MISSING and stream:
            raise SourceMissing(_missing(access, client, stream)) from None
        raise SourceUnavailable(_sentence(access, error, stream)) from None


def _sentence(access: KinesisAccess, error: Exception, stream: str) -> str:
    from botocore.exceptions import (
        ClientError,
        CredentialRetrievalError,
        NoCredentialsError,
        PartialCredentialsError,
    )

    if isinstance(error, NoCredentialsError | PartialCredentialsError | CredentialRetrievalError):
        return (
            "no AWS credentials were found for Kinesis; set AWS_ACCESS_KEY_ID and AWS_SECRET_ACCESS_KEY, or "
            "name a profile with MILLRACE_KINESIS_PROFILE"
        )
    what = f" of data stream '{stream}'" if stream else ""
    if code_of(error) in THROTTLED:
        return f"{access.address} has too many requests{what} ({code_of(error)}); add shards, or read it less"
    if isinstance(error, ClientError):
        return (
            f"{access.address} refused {error.operation_name}{what} ({code_of(error)}); allow it to the "
            "credentials that boto3 finds, and check that they have not expired"
        )
    return (
        f"{access.address} cannot be reached ({type(error).__name__}); check the network, "
        "MILLRACE_KINESIS_REGION and MILLRACE_KINESIS_ENDPOINT_URL"
    )


def _missing(access: KinesisAccess, client: Any, stream: str) -> str:
    try:
        names = client.list_streams(Limit=_NAMES)["StreamNames"] if client else []
    except Exception:
        names = []
    near = get_close_matches(stream, names, n=3, cutoff=0.5) or names[:3]
    there = f"; there are {', '.join(near)}" if near else ""
    return f"{access.address} has no data stream '{stream}'{there}: create it, or correct its name"
