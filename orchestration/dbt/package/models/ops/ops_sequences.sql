{{ config(enabled=counted_streams() | length > 0) }}
{{ millrace.sequence_totals(ref('ops_sequence_runs'), counted_streams()) }}
