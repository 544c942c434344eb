"""The warm process: everything a run needs is imported once, and each run is a fork of it.

keeper (third-party libraries, the socket, the table of runs) → template (a fork with the project's code loaded, replaced
when that code changes) → worker (a fork of the template, one run). `protocol` is how a client talks to the keeper.
Nothing here knows what a run does. See docs/architecture.md.
"""
