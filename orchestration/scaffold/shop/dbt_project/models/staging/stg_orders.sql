{{ staging('orders') }}
