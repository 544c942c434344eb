"""The ways out: how a notice reaches somebody. Each is opened when it is needed first, with its library."""

import json
import time
from typing import Protocol

from ingestion.connectors.messages import Outgoing
from ingestion.declare.sources import open_sender, read_source
from ingestion.errors import ConfigError
from ingestion.settings import Settings
from orchestration.conditions.webhook import Answer, post_bytes
from orchestration.reactions.declared import OWN, Job, Publish, Reaction, Webhook
from orchestration.reactions.entries import Notice
from orchestration.reactions.people import AppriseWay
from orchestration.reactions.signature import headers, secret_bytes
from orchestration.reactions.templates import TemplateMistake, render
from orchestration.reactions.variables import require_secret


class Way(Protocol):
    """A way out."""

    def send(self, notice: Notice) -> Answer:
        """Send a notice once; it has arrived when the answer has no `why`.

        Raises:
            MillraceError: It has not; the sentence shows no secret.
        """
        ...

    def close(self) -> None:
        """Leave."""
        ...


class Launch(Protocol):
    """Runs jobs (observe/launching.py)."""

    def __call__(self, job: Job, notice: Notice, *, timeout_s: float) -> Answer:
        """Run a job for a notice, once by its key.

        Args:
            job: Which.
            notice: What for.
            timeout_s: Of each request, seconds.
        """
        ...


def open_way(reaction: Reaction, settings: Settings, *, launch: Launch | None = None) -> Way:
    """Open the way that a reaction declares.

    Args:
        reaction: The reaction.
        settings: Hold the secrets.
        launch: Runs jobs; None where no web UI runs.

    Raises:
        ConfigError: A variable is not set or holds something else, or a library is missing.
    """
    send = reaction.send
    if send.webhook is not None:
        return WebhookWay(reaction, send.webhook, settings)
    if send.publish is not None:
        return PublishWay(send.publish, settings)
    if send.apprise is not None:
        return AppriseWay(reaction, send.apprise, settings)
    if send.job is not None:
        return JobWay(reaction, send.job, launch)
    raise ConfigError(f"reaction '{reaction.name}' says nowhere to send to")


class WebhookWay:
    """Posts to an address (signature.py)."""

    def __init__(self, reaction: Reaction, way: Webhook, settings: Settings) -> None:
        own = settings.alert_webhook_url if reaction.name == OWN else None
        self._seconds = reaction.try_seconds
        self._template, self._type = way.body, way.content_type
        self._url = own or require_secret(settings, way.url_env, reaction=reaction.name)
        self._secret: bytes | None = None
        if way.secret_env is not None:
            secret = require_secret(settings, way.secret_env, reaction=reaction.name)
            self._secret = secret_bytes(secret, variable=way.secret_env)

    def send(self, notice: Notice) -> Answer:
        """Post it once."""
        if self._template is None:
            body = json.dumps(notice.content).encode()
        else:
            try:
                body = render(self._template, notice.content)
            except TemplateMistake as mistake:  # the next alert may be another matter
                return Answer(str(mistake), is_about_this=True)
        signed = headers(notice.key, body, now_s=int(time.time()), secret=self._secret)
        return post_bytes(self._url, body, {**signed, "Content-Type": self._type}, seconds=self._seconds)

    def close(self) -> None:
        """Nothing is kept."""


class JobWay:
    """Runs a job of Dagster's."""

    def __init__(self, reaction: Reaction, job: Job, launch: Launch | None) -> None:
        self._job, self._launch, self._seconds = job, launch, reaction.try_seconds

    def send(self, notice: Notice) -> Answer:
        """Run it, unless a run for this alert is there."""
        if self._launch is None:
            return Answer("no web UI runs here, which jobs are started by")
        return self._launch(self._job, notice, timeout_s=self._seconds)

    def close(self) -> None:
        """Nothing is kept."""


class PublishWay:
    """Sends to a broker, which acknowledges it, by what `millrace produce` sends with."""

    def __init__(self, way: Publish, settings: Settings) -> None:
        source = read_source(way.to)
        self._place, self._sender = source.destination(""), open_sender(source, settings)
        self._sender.prepare(self._place, create=False)

    def send(self, notice: Notice) -> Answer:
        """Send it once; its key stands in the JSON, since not every broker has headers."""
        body = json.dumps(notice.content).encode()
        self._sender.send([Outgoing(self._place, body)])
        return Answer(said="acknowledged")

    def close(self) -> None:
        """Leave the broker."""
        self._sender.close()
