{{ config(enabled=sequences() | length > 0) }}
{{ millrace.sequence_totals(ref('ops_sequence_runs'), sequences()) }}
