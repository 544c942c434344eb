"""What each column of raw and of a staging model holds, in words. Later models say it themselves."""

from ingestion.formats.decode import reasons

_POSITION = {
    "batch_id": "Number of the batch within its stream, counting up in commit order.",
    "source_partition": "The log's partition, as in orders-0.",
    "position": "Position within the partition.",
    "event_id": "Partition and position, as in orders-0@17: the event's identity.",
    "event_key": "The key it was sent with; for a source without keys, the topic.",
}
_ARRIVAL = {
    "headers": "The message's headers, a JSON object.",
    "event_time": "The broker's timestamp, UTC.",
    "ingested_at": "When its batch was read, UTC.",
    "_dlt_load_id": "The load that brought it.",
}
EVENT_COLUMNS = (
    _POSITION
    | {
        "payload": "The payload as JSON text; null is a tombstone.",
        "payload_raw": "The payload's bytes, where they are not the text itself.",
    }
    | _ARRIVAL
)
REJECT_COLUMNS = (
    {"stream": "The stream it was meant for."}
    | _POSITION
    | {
        "payload_raw": "The bytes as they came; null above the size limit.",
        "payload_bytes": "Size of the payload, bytes.",
        "reason": f"Why it was refused: {', '.join(sorted(reasons()))}.",
        "detail": "What exactly was wrong.",
    }
    | _ARRIVAL
)
BATCH_COLUMNS = {
    "stream": "The stream.",
    "batch_id": _POSITION["batch_id"],
    "source_partition": _POSITION["source_partition"],
    "log_id": "Identity of the log; a topic that is made again gets another one.",
    "start_position": "First position of the batch.",
    "end_position": "Position after the last one of the batch.",
    "log_end_position": "The log's end when the batch was planned.",
    "events_read": "Events read: landed plus rejected.",
    "events_landed": "Events in the raw table.",
    "events_rejected": "Events in the rejects.",
    "bytes_read": "Payload bytes read.",
    "first_event_time": "Earliest plausible broker timestamp of the batch, UTC.",
    "last_event_time": "Latest plausible broker timestamp of the batch, UTC.",
    "started_at": "When reading began, UTC.",
    "ingested_at": _ARRIVAL["ingested_at"],
    "positions_skipped": "Positions right before the first one that are lost: nobody read them.",
    "retired": "Why the partition is not read on from here; null while it is.",
    "last_event": "Position and checksum of the last event before end_position; the next batch compares it.",
    "log_end_proof": "By what the log itself recognises its end at log_end_position; empty: by nothing.",
    "format_state": "What a format knows from batch to batch, such as the names of births; null: as in the "
    "row before.",
    "schemas": "The schemas of a registry that the batch's values name, a JSON list; null: none.",
    "_dlt_load_id": _ARRIVAL["_dlt_load_id"],
}

STAGING_COLUMNS = {
    **_POSITION,
    "event_at": "When it happened, UTC: the first plausible of the declared field, the broker's timestamp "
    "and ingested_at.",
    "clock_ahead_seconds": "How far the time that was not plausible lies after the receipt; else null.",
    "ingested_at": _ARRIVAL["ingested_at"],
    "payload_hash": "Where the stream has a business id: equal for deliveries of one payload.",
    "cast_errors": "The null fields whose type cannot hold what was sent, or whose key is unclear.",
}
"""What every staging model has besides the declared fields."""

RESOLUTION_COLUMNS = {
    "stream": "The stream.",
    "event_id": _POSITION["event_id"],
    "batch_id": "The batch that rejected it; of a replayed event, the batch that landed it.",
    "outcome": "landed, dismissed, or replayed: landed by a replay without having been a reject.",
    "landed_batch_id": "The batch that landed it; null for a dismissed one.",
    "resolved_at": "When, UTC.",
    "note": "Why it was dismissed.",
    "_dlt_load_id": _ARRIVAL["_dlt_load_id"],
}
