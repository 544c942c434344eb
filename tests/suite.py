"""The suite as a whole, a pytest plugin: shared servers, random order, files in memory, why a test is slow.

Nothing of the product is imported here, so that coverage sees its imports. See docs/testing.md.
"""

from __future__ import annotations

import functools
import gc
import json
import os
import random
import shutil
import signal
import subprocess
import sys
import tempfile
from collections.abc import Iterator, Mapping
from itertools import groupby
from pathlib import Path

import psutil
import pytest
from xdist.scheduler import LoadScopeScheduling
from xdist.workermanage import WorkerController

from tests.names import RUN, WORKER

ADDRESS = "TEST_SERVERS_SOCKET"
IN_MEMORY_BYTES = 12 * 2**30
"""How much has to be free for that; a run takes less than half."""
FIRST = ("slow", "e2e", "early")
"""Marks of the tests that begin first, so that no worker is left alone with one of them at the end."""


def pytest_addoption(parser: pytest.Parser) -> None:
    parser.addoption(
        "--order-seed",
        type=int,
        default=None,
        metavar="N",
        help="repeat the order of an earlier run, whose seed is in its first lines; 0 for the files' order",
    )


def pytest_configure(config: pytest.Config) -> None:
    # `nohup … &` ignores SIGINT, and every child would inherit that.
    if signal.getsignal(signal.SIGINT) is signal.SIG_IGN:
        signal.signal(signal.SIGINT, signal.default_int_handler)
    config.stash[_SEED] = _seed(config)
    if WORKER is None and (folder := in_memory(os.environ)) is not None:
        os.environ["PYTEST_DEBUG_TEMPROOT"] = str(folder)


@pytest.hookimpl(wrapper=True)
def pytest_collection() -> Iterator[None]:
    """Python's collector of garbage rests while the tests are imported, and never looks at them again."""
    gc.disable()
    try:
        return (yield)
    finally:
        gc.freeze()
        gc.enable()


def in_memory(environment: Mapping[str, str], *, root: Path = Path("/dev/shm")) -> Path | None:
    """Where the tests' files go if there is memory to spare: to flush a file costs nothing there.

    None leaves it to pytest: there is too little, or somebody has named a folder for temporary files.
    """
    if environment.keys() & {"PYTEST_DEBUG_TEMPROOT", "TMPDIR", "TEMP", "TMP"} or not root.is_dir():
        return None
    spare = min(shutil.disk_usage(root).free, psutil.virtual_memory().available)
    return root if spare > IN_MEMORY_BYTES else None


_SEED = pytest.StashKey[int]()


def _seed(config: pytest.Config) -> int:
    given = getattr(config, "workerinput", {}).get("order_seed", config.getoption("order_seed"))
    return random.SystemRandom().randint(1, 10**6) if given is None else given


@pytest.hookimpl(optionalhook=True)
def pytest_configure_node(node: object) -> None:
    """All workers have to collect in the same order."""
    node.workerinput["order_seed"] = node.config.stash[_SEED]


def pytest_report_header(config: pytest.Config) -> str:
    return f"order: --order-seed {config.stash[_SEED]}"


@pytest.hookimpl(tryfirst=True)
def pytest_collection_modifyitems(config: pytest.Config, items: list[pytest.Item]) -> None:
    refuse_slow_without_reason(items)
    items[:] = arranged(items, config.stash[_SEED])
    if WORKER is not None:
        _tell_groups(items)


def refuse_slow_without_reason(items: list[pytest.Item]) -> None:
    """Whoever moves a test out of `make test` says why."""
    for item in items:
        for mark in item.iter_markers("slow"):
            if not (mark.args and isinstance(mark.args[0], str) and mark.args[0].strip()):
                raise pytest.UsageError(f"{item.nodeid}: mark it slow with the reason, slow('why').")


def arranged(items: list[pytest.Item], seed: int) -> list[pytest.Item]:
    """Long tests, then the others: files, and tests of a file, in the order of a seed; 0 changes nothing."""
    if not seed:
        return items
    dice = random.Random(seed)
    files = [list(tests) for _, tests in groupby(items, key=lambda item: item.path)]
    dice.shuffle(files)
    for tests in files:
        dice.shuffle(tests)
    return sorted((item for tests in files for item in tests), key=_rank)


def _rank(item: pytest.Item) -> int:
    return min(
        (FIRST.index(mark.name) for mark in item.iter_markers() if mark.name in FIRST), default=len(FIRST)
    )


def _group(item: pytest.Item) -> str | None:
    """Whose tests one worker runs: the mark `xdist_group`, or the file when its tests share a fixture."""
    mark = item.get_closest_marker("xdist_group")
    if mark is not None:
        return str(mark.args[0])
    fixtures = item._fixtureinfo.name2fixturedefs.values() if isinstance(item, pytest.Function) else ()
    shares = any(definitions[-1].scope in ("module", "class") for definitions in fixtures)
    return str(item.path) if shares else None


def _tell_groups(items: list[pytest.Item]) -> None:
    """The main process does not collect: it reads the groups in a file. Every worker writes the same."""
    groups = {item.nodeid: group for item in items if (group := _group(item)) is not None}
    partial = _groups_file().with_suffix(f".{WORKER}")
    partial.write_text(json.dumps(groups))
    partial.replace(_groups_file())


def _groups_file() -> Path:
    return Path(os.environ[ADDRESS]).with_name("groups.json")


class GroupScheduling(LoadScopeScheduling):
    """Hands out tests one by one, in their order, and a group's tests to one worker.

    xdist's own loadgroup loses the groups under pytest 9.2: its issue 1386. And of a worker that crashed it
    hands out all again, what is done too: the others, of which each runs a test when it has the next one, may
    get nothing but that, and wait for ever.
    """

    @functools.cached_property
    def _groups(self) -> dict[str, str]:
        groups: dict[str, str] = json.loads(_groups_file().read_text())
        return groups

    def _split_scope(self, nodeid: str) -> str:
        return self._groups.get(nodeid, nodeid)

    def remove_node(self, node: WorkerController) -> str | None:
        """A worker has ended: what it has not done goes to others, but not the test that it crashed in."""
        units = self.assigned_work[node]
        crashed = next((test for unit in units.values() for test, done in unit.items() if not done), None)
        self.assigned_work[node] = {}
        super().remove_node(node)
        for scope, unit in units.items():
            left = {test: False for test, done in unit.items() if not done and test != crashed}
            if left:
                self.workqueue[scope] = left
        for other in self.nodes:
            self._reschedule(other)
        return crashed

    def _reschedule(self, node: WorkerController) -> None:
        """A worker runs a test once it knows the next one, or that this was the last."""
        if node not in self.registered_collections:
            return  # it still collects
        super()._reschedule(node)
        while self._pending_of(self.assigned_work[node]) < 2 and not node.shutting_down:
            super()._reschedule(node)


@pytest.hookimpl(optionalhook=True)
def pytest_xdist_make_scheduler(config: pytest.Config, log: object) -> GroupScheduling:
    config.option.loadscopereorder = False
    return GroupScheduling(config, log)


def pytest_sessionstart(session: pytest.Session) -> None:
    """The run's main process has the keeper of its servers; workers are children and inherit the address."""
    config = session.config
    if WORKER is None and RUN not in os.environ and not config.option.collectonly:
        base = config._tmp_path_factory.getbasetemp()
        config.stash[_KEEPER] = Keeper(base / "servers", root=config.rootpath)
        os.environ[ADDRESS] = config.stash[_KEEPER].address


@pytest.hookimpl(tryfirst=True)
def pytest_sessionfinish(session: pytest.Session) -> None:
    """Before pytest removes what the tests have left."""
    _close_keeper(session.config)


def pytest_unconfigure(config: pytest.Config) -> None:
    _close_keeper(config)


def _close_keeper(config: pytest.Config) -> None:
    keeper = config.stash.get(_KEEPER, None)
    if keeper is not None:
        del config.stash[_KEEPER]
        os.environ.pop(ADDRESS, None)
        keeper.close()


class Keeper:
    """Our end of tests/servers/keeper.py.

    Args:
        data: For the servers' data and logs.
        root: The repository.

    Attributes:
        address: Its socket.
    """

    def __init__(self, data: Path, *, root: Path) -> None:
        self._data = data
        self._folder = tempfile.TemporaryDirectory(prefix="millrace-tests-")
        self.address = str(Path(self._folder.name) / "servers")  # the path of a socket has to be short
        self._process = subprocess.Popen(
            [sys.executable, "-m", "tests.servers.keeper", self.address, str(data),
             str(root / ".pytest_cache")],
            stdin=subprocess.PIPE, stdout=subprocess.PIPE, cwd=root, start_new_session=True,
        )  # fmt: skip
        assert self._process.stdout is not None
        assert self._process.stdout.readline() == b"ready\n"

    def close(self) -> None:
        """Let it stop its servers, wait, and remove their files."""
        try:
            self._process.communicate(timeout=60)
        except subprocess.TimeoutExpired:
            self._process.kill()
        self._folder.cleanup()
        shutil.rmtree(self._data, ignore_errors=True)


_KEEPER = pytest.StashKey[Keeper]()
