"""What an event's state is called, and the sentence about it with what to do. It is found out in event.py."""

from typing import Literal

from ingestion.land.rejects import Reject
from ingestion.trace.named import Named
from ingestion.watch.fates import Fate

State = Literal[
    "staged", "unread", "rejected", "dismissed", "duplicate", "conflict", "tombstone", "not staged yet",
    "no staging model", "missing", "no event", "lost", "before the start", "not sent",
]  # fmt: skip


def landed_sentence(state: State, named: Named, fate: Fate, reject: Reject | None) -> str:
    """What is said of an event in raw."""
    stream, kept = named.stream, fate.kept
    ids = ", ".join(stream.business_id)
    model = f"staging.stg_{stream.name}"
    if state == "duplicate":
        return (
            f"it is in raw, and staging keeps {kept} instead, another delivery of the same event (the same "
            f"{ids}, the same payload): nothing is missing; 'millrace trace {kept}' follows that one"
        )
    if state == "conflict":
        return (
            f"it is in raw, and staging keeps {kept} instead, which has the same {ids} and another payload "
            f"(on_conflict: {stream.on_conflict}): compare it with 'millrace trace {kept}', then correct the "
            f"sender, or business_id or on_conflict of '{stream.name}' in streams.yml"
        )
    if state == "no staging model":
        text = f"{{{{ staging('{stream.name}') }}}}"
        return f"it is in raw, and no model stages it: stg_{stream.name}.sql with '{text}' would"
    if state == "tombstone":
        return "it is in raw as a tombstone (no payload), which staging leaves out: nothing is to be done"
    if state == "not staged yet":
        return (
            f"it is in raw, and {model} has not taken in its batch yet: 'millrace status' says whether a "
            "model fails or is under way"
        )
    if state == "missing":
        return (
            f"it is in raw, and {model} lacks it although it has taken in its batch: 'millrace verify "
            f"{stream.name}' counts such events, and 'dbt build --target prod --full-refresh -s "
            f"stg_{stream.name}+' builds it again"
        )
    again = f", rejected at first ({reject.reason}) and landed later" if reject else ""
    return f"it is in raw{again} and in {model}"


def rejected_sentence(named: Named, reject: Reject) -> str:
    """What is said of a reject."""
    name = named.stream.name
    why = f"{reject.reason}: {reject.detail}" if reject.detail else reject.reason
    if reject.outcome == "dismissed":
        note = f" ({reject.note})" if reject.note else ""
        return f"it was rejected ({why}) and dismissed{note}; its bytes stay in raw.rejects"
    if not reject.kept:
        return (
            f"it was rejected ({why}), and its bytes were not kept: raise MILLRACE_PAYLOAD_MAX_BYTES "
            "and send it again"
        )
    return (
        f"it was rejected ({why}): correct the sender, the format or the limit, then 'millrace rejects retry "
        f"{name} {named.event_id}', or 'millrace rejects resolve' dismisses it"
    )
