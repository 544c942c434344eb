{{ staging('parcel_scans') }}
