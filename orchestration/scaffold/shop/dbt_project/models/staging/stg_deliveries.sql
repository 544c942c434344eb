{{ staging('deliveries') }}
