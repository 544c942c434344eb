"""One file per kind of source; each turns a broker into a log with positions (see base.py)."""
