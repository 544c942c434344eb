"""Files for running Millrace as a service: a systemd unit, a container's image, a composition of containers.

`millrace service` prints them (cli/service.py); nothing here starts anything.
"""
