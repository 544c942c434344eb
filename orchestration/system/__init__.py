"""What `millrace up` starts, in which order, and how it is kept running and stopped.

services.py says what runs, running.py in which order, lock.py who runs, runtime.py where.
How a single process is started and stopped is in orchestration/services.
"""
