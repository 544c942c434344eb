{{ config(enabled=counted_streams() | length > 0) }}
{{ millrace.sequence_gaps(ref('ops_sequence_runs'), counted_streams(), millrace.accepted_gaps()) }}
