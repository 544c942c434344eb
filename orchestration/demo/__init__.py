"""`millrace demo`: a simulated plant, the embedded brokers it sends to, and the judgement of what arrived.

The only part of orchestration that speaks to brokers: it plays the outside world.
Nothing here is used by `millrace up`.
"""
