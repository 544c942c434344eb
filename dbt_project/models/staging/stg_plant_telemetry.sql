{{ staging('plant_telemetry') }}
