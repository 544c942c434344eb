"""What each page shows. A view makes tiles of what was read; it neither reads nor sends."""
