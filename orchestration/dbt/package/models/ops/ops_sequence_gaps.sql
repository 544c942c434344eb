{{ config(enabled=sequences() | length > 0) }}
{{ millrace.sequence_gaps(ref('ops_sequence_runs'), sequences(), millrace.accepted_gaps()) }}
