"""`make bench`: the workloads one after another, each a process of its own; one table at the end.

`make bench ARGS="w3 --for 120"` runs one of them with its options. `--peers` adds the peers, `--write` puts
the table into docs/performance.md. `python -m benchmarks w3 --help` shows the options of one. Without a name
all of them run, which takes an hour.
"""

import subprocess
import sys

from benchmarks.report import Row, collect, machine, show, write
from tests.repository import REPOSITORY

_MODULES = {
    "w1": "w1_drain", "w2": "w2_paced", "w3": "w3_chain", "w4": "w4_history", "w5": "w5_mess",
    "w6": "w6_trickle", "w7": "w7_formats", "w8": "w8_sources", "w9": "w9_serving",
    "page": "page", "spool": "spool", "stock": "stock_chain", "peers": "peers",
}  # fmt: skip
_DEFAULT: list[tuple[str, list[str]]] = [
    ("w1", []),
    ("w2", ["--for", "20"]),
    ("w3", ["--for", "90", "--singles", "4"]),
    ("w4", []),
    ("w5", ["--for", "40"]),
    ("spool", []),
    ("stock", ["--events", "2"]),
]
_LONGEST_SECONDS = 3600


def run(name: str, arguments: list[str]) -> list[Row]:
    """One benchmark; what it says besides its rows goes through."""
    argv = [sys.executable, "-m", f"benchmarks.{_MODULES[name]}", *arguments]
    print("──", name, *arguments, flush=True)
    done = subprocess.run(
        argv, cwd=REPOSITORY, stdout=subprocess.PIPE, stderr=None, text=True, timeout=_LONGEST_SECONDS
    )
    told = [line for line in done.stdout.splitlines() if not line.startswith("ROW ")]
    print("\n".join(told), end="\n" if told else "", flush=True)
    rows = collect(done.stdout)
    if done.returncode:
        workload = name.upper() if name.startswith("w") else name
        rows.append(Row(workload, "did not finish", f"exit code {done.returncode}", reached=False))
    return rows


def main() -> int:
    arguments = sys.argv[1:]
    if arguments[:1] in (["-h"], ["--help"]):  # after a name it is that benchmark's own
        print(f"{__doc__}\nNames: {', '.join(_MODULES)}.")
        return 0
    if arguments and not arguments[0].startswith("--") and arguments[0] not in _MODULES:
        print(f"'{arguments[0]}' is not one of the benchmarks: {', '.join(_MODULES)}", file=sys.stderr)
        return 2
    into_page = "--write" in arguments
    benchmarks = [*_DEFAULT, ("peers", [])] if "--peers" in arguments else _DEFAULT
    arguments = [argument for argument in arguments if argument not in ("--write", "--peers")]
    where = machine()
    if arguments and arguments[0] in _MODULES:
        benchmarks = [(arguments[0], arguments[1:])]
    rows: list[Row] = []
    for name, options in benchmarks:
        measured = run(name, options)
        rows += measured
        if into_page and measured:
            write(measured, where=where)  # at once: what was measured stays if a later one is stopped
    show(rows, where=where)
    return int(any(row.what == "did not finish" for row in rows))


if __name__ == "__main__":
    sys.exit(main())
