"""Protocol Buffers: messages of a declared type, whose descriptors are in a file of the project."""
