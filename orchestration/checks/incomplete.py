"""The check of raw tables whose messages show what they lack: values without a name, numbers left out.

It is of the raw table, since a stream need not have a staging model, and it holds nothing back.
"""

from dagster import AssetCheckResult, AssetCheckSeverity, AssetCheckSpec

from ingestion.declare.stream import Stream
from ingestion.lake.lake import Lake
from ingestion.watch.incomplete import Incomplete, count_incomplete
from orchestration.keys import WARNING, raw_key

INCOMPLETE_CHECK = "incomplete_messages"
_MOST = 0.01
"""Of a node that has just connected, a few messages may come before its births."""


def incomplete_specs(stream: Stream) -> list[AssetCheckSpec]:
    """The check of a stream; none where its format's payloads do not show what is missing."""
    said = stream.format.options.completeness
    if said is None:
        return []
    return [
        AssetCheckSpec(
            INCOMPLETE_CHECK,
            asset=raw_key(stream.name),
            description=f"Of the newest messages at most {_MOST:.0%} have {said.what}, and at most "
            f"{_MOST:.0%} are missing by their '{said.number}'.",
        )
    ]


def incomplete_results(lake: Lake, stream: Stream) -> list[AssetCheckResult]:
    """Run the check; nothing where the stream has none."""
    said = stream.format.options.completeness
    if said is None:
        return []
    found = count_incomplete(lake, stream, said)
    sentences = []
    if found.unnamed_share > _MOST:
        sentences.append(
            f"{found.unnamed:,} of the newest {found.messages:,} messages of {stream.name} "
            f"({found.unnamed_share:.1%}) have {said.what}, {found.event_id} for example; these values are "
            f"in the lake without a name: {said.remedy.replace('<stream>', stream.name)}"
        )
    if found.missing_share > _MOST:
        sentences.append(_missing(found, stream, said.number))
    return [
        AssetCheckResult(
            asset_key=raw_key(stream.name),
            check_name=INCOMPLETE_CHECK,
            passed=not sentences,
            severity=AssetCheckSeverity.WARN,
            description=f"{WARNING}{'; '.join(sentences)}" if sentences else None,
            metadata={
                "outcome": "warned" if sentences else "passed",
                "measured": round(max(found.unnamed_share, found.missing_share), 6),
                "threshold": f"at most {_MOST:.0%} of the messages",
                "snapshot_id": lake.snapshot_id(),
                "messages": found.messages,
                "unnamed_messages": found.unnamed,
                "unnamed_values": found.values,
                "missing_messages": found.missing,
            },
        )
    ]


def _missing(found: Incomplete, stream: Stream, number: str) -> str:
    worst = found.sender if found.senders == 1 else f"{found.senders:,} senders, most of {found.sender}"
    remedy = "look at the senders' queue and network"
    if stream.sequence is None:
        remedy += ", and declare 'sequence' in streams.yml, which names each gap"
    return (
        f"{found.missing:,} messages of {worst} never came, by the '{number}' of the newest "
        f"{found.messages:,} of {stream.name}: {remedy}"
    )
