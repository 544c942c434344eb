{{ alerts(ref('int_alert_runs'), rules=ref('alert_rules'), key='machine_id', carry=['line_id']) }}
