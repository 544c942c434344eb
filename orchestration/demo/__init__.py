"""`millrace demo`: a simulated plant, the embedded brokers it sends to, and the judgement of what arrived.

The only part of orchestration that speaks to brokers, for it plays the part of the outside world.
Nothing here is used by `millrace up`.
"""
