"""What pages and reports are drawn with: HTML as values. Nothing here knows what is shown."""
