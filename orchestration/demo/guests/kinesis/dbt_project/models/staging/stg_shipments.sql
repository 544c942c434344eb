{{ staging('shipments') }}
