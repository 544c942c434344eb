{{ staging('production_orders') }}
