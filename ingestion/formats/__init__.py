"""From received bytes to JSON text or a reject with a reason; one file a format."""
