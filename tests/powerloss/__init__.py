"""A power loss: what was not flushed may be gone, half there, or zeros. The disk is in disk.py."""
