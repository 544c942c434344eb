"""Events that fit a stream's declared fields, for trying a stream before its real sender is there."""

import copy
import uuid
from collections.abc import Mapping, Sequence
from datetime import datetime
from itertools import pairwise
from random import Random
from typing import Any

from ingestion.declare.fields import FieldSpec
from ingestion.declare.sequence import SequenceSpec
from ingestion.declare.stream import Stream

Steps = tuple[str | int, ...]
_WORDS = 5
"""How many different words a text field has."""
_ELEMENTS = 2
"""How many events a payload has that is an array of them, or holds one."""


def example_payload(
    stream: Stream, *, number: int, now: datetime, random: Random, like: Sequence[Any] = ()
) -> Any:
    """One event's payload.

    Args:
        stream: Its fields say what is in it.
        number: Counts the events, from 1; whole numbers that identify an event are this one.
        now: Of its times, UTC.
        random: Of its values.
        like: Payloads of real events: one of them is taken, with another identity and another time. Not for a
            stream whose events are elements of an array: those are made from the fields alone.

    Returns:
        What JSON encodes.
    """
    if stream.elements is not None:
        return _array(stream, stream.elements.steps, number=number, now=now, random=random)
    if stream.envelope:
        like = ()  # a copy of a real change or CloudEvent would be that one again
    payload: Any = copy.deepcopy(random.choice(like)) if like else {}
    for name, field in stream.fields.items():
        if field.place is None:
            continue  # it is not in the payload; an extension attribute is beside it
        # With its own time among the identifying fields, the others name who sent the event.
        names_event = name in stream.business_id and stream.event_time not in stream.business_id
        if like and not names_event and field.type != "timestamp":
            continue
        value = _value(name, field, number if names_event else None, now=now, random=random)
        if stream.sequence is not None and not like:
            value = _counted(stream.sequence, name, value, number)
        if not field.place.steps:
            return _enveloped(stream, value, number=number, now=now, random=random)
        _put(payload, field.place.steps, value, is_new=not like)
    return _enveloped(stream, payload, number=number, now=now, random=random)


def _array(stream: Stream, steps: Steps, *, number: int, now: datetime, random: Random) -> Any:
    """A payload with an array of events in it, and what encloses them."""
    enclosing: Any = {}
    elements: list[Any] = [{} for _ in range(_ELEMENTS)]
    for name, field in stream.fields.items():
        if field.place is None:
            continue
        if field.place.encloses:
            _put(enclosing, field.place.steps, _value(name, field, None, now=now, random=random), is_new=True)
            continue
        for index in range(_ELEMENTS):
            count = (number - 1) * _ELEMENTS + index + 1
            names_event = name in stream.business_id and stream.event_time not in stream.business_id
            value = _value(name, field, count if names_event else None, now=now, random=random)
            if stream.sequence is not None:
                value = _counted(stream.sequence, name, value, count)
            if field.place.steps:
                _put(elements[index], field.place.steps, value, is_new=True)
            else:
                elements[index] = value
    if not steps:
        return elements
    _put(enclosing, steps, elements, is_new=True)
    return enclosing


def _counted(sequence: SequenceSpec, name: str, value: Any, number: int) -> Any:
    """The value of a field where a few senders take turns and each counts what it sends."""
    turn, sender = divmod(number - 1, _WORDS)
    if name == sequence.field:
        index = turn % sequence.size if sequence.size else turn
        return (sequence.start or 0) + index * sequence.step
    return f"{name}-{sender + 1}" if name in sequence.per and isinstance(value, str) else value


def _enveloped(stream: Stream, payload: Any, *, number: int, now: datetime, random: Random) -> Any:
    """A payload in the stream's envelope: a new row, or a structured event."""
    milliseconds = int(now.timestamp() * 1000)
    if stream.envelope == "debezium":
        source = {"connector": "example", "lsn": milliseconds * 1000 + number % 1000, "ts_ms": milliseconds}
        return {"op": "c", "before": None, "after": payload, "source": source, "ts_ms": milliseconds}
    if stream.envelope == "cloudevents":
        head = {
            "specversion": "1.0",
            "id": f"{milliseconds}-{number}",
            "source": "/example",
            "type": "example",
        }
        head |= {
            field.extension: _value(name, field, None, now=now, random=random)
            for name, field in stream.fields.items()
            if field.extension
        }
        return {**head, "time": now.isoformat(timespec="milliseconds"), "data": payload}
    return payload


def _put(payload: Any, path: Steps, value: Any, *, is_new: bool) -> None:
    """Set the value at a path; in a real event, only where there is one, and of the same JSON type."""
    for step, following in pairwise(path):
        if is_new and _takes(payload, step):
            _make_room(payload, step, [] if isinstance(following, int) else {})
        payload = _at(payload, step)
    last = path[-1]
    before = _at(payload, last)
    if is_new and _takes(payload, last):
        _make_room(payload, last, value)
        payload[last] = value
    elif is_new:
        return  # another field has a value where this one's parent would be
    elif isinstance(before, str):
        payload[last] = str(value)
    elif isinstance(before, int) and isinstance(value, int):
        payload[last] = value


def _takes(payload: Any, step: str | int) -> bool:
    return isinstance(payload, list if isinstance(step, int) else dict)


def _at(payload: Any, step: str | int) -> Any:
    """What is at a step; None where there is nothing."""
    if isinstance(payload, list) and isinstance(step, int):
        return payload[step] if -len(payload) <= step < len(payload) else None
    return payload.get(step) if isinstance(payload, dict) and isinstance(step, str) else None


def _make_room(payload: Any, step: str | int, empty: Any) -> None:
    """Something is at a step; what comes before it in an array is null."""
    if isinstance(step, int):
        short = (step + 1 if step >= 0 else -step) - len(payload)
        payload.extend([None] * short)
    if _at(payload, step) is None:
        payload[step] = empty


def _value(name: str, field: FieldSpec, number: int | None, *, now: datetime, random: Random) -> Any:
    kind, _, size = field.type.partition("(")
    values: Mapping[str, Any] = {
        "varchar": str(uuid.UUID(int=random.getrandbits(128), version=4))
        if number is not None
        else f"{name}-{random.randint(1, _WORDS)}",
        "bigint": number if number is not None else random.randint(1, 100),
        "integer": number if number is not None else random.randint(1, 100),
        "double": round(random.gauss(50, 10), 2),
        "boolean": random.random() < 0.5,
        "timestamp": now.isoformat(timespec="milliseconds").replace("+00:00", "Z"),
        "date": now.date().isoformat(),
        "json": {"number": random.randint(1, 100)},
    }
    if kind == "decimal":
        width, scale = (int(part) for part in size.rstrip(")").split(","))
        return round(random.random() * 10 ** min(3, width - scale), min(scale, 6))
    return values[kind]
