{{ alert_runs(
    ref('int_telemetry_enriched'),
    rules=ref('alert_rules'),
    key='machine_id',
    metrics={
        'temperature_celsius': 'readings.temperature_celsius',
        'vibration_mm_s': 'readings.vibration_mm_s',
        'power_kw': 'readings.power_kw',
        'fault': "case readings.status when 'fault' then 1.0 else 0.0 end",
    },
    carry=['line_id'],
    where='is_timely',
    applies='rules.machine_kind is null or readings.machine_kind = rules.machine_kind',
) }}
