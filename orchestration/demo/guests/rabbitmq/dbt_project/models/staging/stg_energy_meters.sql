{{ staging('energy_meters') }}
