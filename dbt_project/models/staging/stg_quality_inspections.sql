{{ staging('quality_inspections') }}
