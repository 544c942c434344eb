"""When a reaction hears of its alerts: limits, quiet hours, batches, escalation, as declared."""

from datetime import datetime, time, timedelta
from typing import Annotated
from zoneinfo import ZoneInfo, available_timezones

from pydantic import BaseModel, ConfigDict, Field, field_validator, model_validator

from ingestion.declare.stream import suggest

NAME = r"^[a-z][a-z0-9_-]{0,39}$"
_CLOCK = r"^([01][0-9]|2[0-3]):[0-5][0-9]$"
_WEEK_SECONDS = 7 * 86_400

Clock = Annotated[str, Field(pattern=_CLOCK)]
"""A time of day, as in 22:00. Without quotes YAML 1.1 takes it for a number."""


class Terms(BaseModel):
    """A part of reactions.yml."""

    model_config = ConfigDict(extra="forbid", frozen=True)


class Limit(Terms):
    """How often it hears that the same thing broke: further openings wait, and nobody gets those that end.

    Attributes:
        openings: So many of the same kind and subject.
        within_seconds: In so long.
    """

    openings: Annotated[int, Field(ge=1, le=1000)]
    within_seconds: Annotated[float, Field(ge=1, le=_WEEK_SECONDS)]


class Quiet(Terms):
    """Hours of every day in which alerts wait; what waits is sent in one message when they end.

    Attributes:
        begin: Time of day, as in "22:00", with quotes.
        end: Time of day; earlier than `begin` means the next day.
        zone: Time zone, as in Europe/Vienna.
        passes: Severities that do not wait: error, warning, or a word of the project's rules.
    """

    begin: Clock
    end: Clock
    zone: Annotated[str, Field(min_length=1)]
    passes: tuple[str, ...] = ()

    @field_validator("begin", "end", mode="before")
    @classmethod
    def _is_text(cls, value: object) -> object:
        if isinstance(value, int):
            raise ValueError('a time of day needs quotes, as in "22:00"')
        return value

    @field_validator("zone")
    @classmethod
    def _is_known(cls, zone: str) -> str:
        if zone not in available_timezones():
            raise ValueError(f"there is no time zone '{zone}'{suggest(zone, sorted(available_timezones()))}")
        return zone

    @model_validator(mode="after")
    def _has_a_length(self) -> "Quiet":
        if self.begin == self.end:
            raise ValueError("quiet hours begin and end at the same time of day: give two different ones")
        return self

    def holds(self, severity: str, *, now: datetime) -> bool:
        """Whether an alert of a severity waits now.

        Args:
            severity: As the alert says it.
            now: With a time zone.
        """
        if severity in self.passes:
            return False
        clock = now.astimezone(ZoneInfo(self.zone)).time()
        begin, end = time.fromisoformat(self.begin), time.fromisoformat(self.end)
        return begin <= clock < end if begin < end else clock >= begin or clock < end


class Batch(Terms):
    """Several alerts in one message.

    Attributes:
        within_seconds: How long the first one waits for others.
        most: A message with so many goes at once.
    """

    within_seconds: Annotated[float, Field(gt=0, le=86_400)]
    most: Annotated[int, Field(ge=2, le=500)] = 100


class Escalation(Terms):
    """Who hears of what nobody acknowledges.

    Attributes:
        to: Another reaction.
        after_seconds: How long after the opening was delivered, or first tried in vain.
    """

    to: Annotated[str, Field(pattern=NAME)]
    after_seconds: Annotated[float, Field(gt=0, le=_WEEK_SECONDS)]

    def is_due(self, since: datetime | None, *, now: datetime) -> bool:
        """Whether it is time.

        Args:
            since: Since when somebody could have acknowledged it; None for not yet.
            now: UTC.
        """
        return since is not None and now - since >= timedelta(seconds=self.after_seconds)
