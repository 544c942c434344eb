"""What `millrace up` starts, in which order, and how it is kept running and stopped.

What runs is in services.py, in which order in running.py, who runs it in lock.py, where in runtime.py.
How a single process is started and stopped is in orchestration/services.
"""
