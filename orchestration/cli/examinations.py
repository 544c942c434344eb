"""The examinations of `millrace doctor`, one a part. Each yields findings and may raise expected errors.

Nothing is changed but the rendered dbt sources. Order and output are in doctor.py.
"""

import importlib.metadata
import re
import shutil
import stat
import sys
from collections.abc import Iterator, Sequence

from ingestion.connectors.port import Finding
from ingestion.data_folder import demo_has_ended, demo_hint, system_is_running
from ingestion.declare.stream import Stream
from ingestion.errors import CatalogUnavailable, MillraceError
from ingestion.project import DBT_FOLDER, DISTRIBUTION, REACTIONS_FILE
from ingestion.settings import Settings
from orchestration.cli.examine_catalog import clock, durability
from orchestration.cli.examine_columns import wide_integers

_LITTLE_SPACE_BYTES = 5 * 2**30
_PINNED = re.compile(r"^([A-Za-z0-9._-]+)(?:\[[^]]*\])?==([^;\s]+)$")


def versions() -> Iterator[Finding]:
    """Installed packages against the pins of pyproject.toml."""
    wrong = []
    for requirement in importlib.metadata.requires(DISTRIBUTION) or ():
        pin = _PINNED.match(requirement.split(";")[0].strip())
        if pin is None or "extra ==" in requirement:
            continue
        try:
            installed = importlib.metadata.version(pin[1])
        except importlib.metadata.PackageNotFoundError:
            installed = "missing"
        if installed != pin[2]:
            wrong.append(f"{pin[1]} is {installed} instead of {pin[2]}")
    if wrong:
        yield Finding("versions", "problem", f"{'; '.join(wrong)}: install what {DISTRIBUTION} requires")
        return
    shown = (DISTRIBUTION, "dagster", "dbt-core", "dbt-duckdb", "dlt", "duckdb", "soda-core")
    versions = ", ".join(f"{name} {importlib.metadata.version(name)}" for name in shown)
    yield Finding("versions", "ok", f"Python {sys.version.split()[0]}, {versions}")


def extensions() -> Iterator[Finding]:
    """DuckDB's extensions, from their wheels."""
    import duckdb

    from ingestion.lake.engine import EXTENSIONS

    missing = [name for name in EXTENSIONS if not _extension_file(name, duckdb.__version__)]
    if missing:
        packages = ", ".join(f"duckdb-extension-{name}=={duckdb.__version__}" for name in missing)
        yield Finding("extensions", "problem", f"missing are {packages}: install them with pip")
    else:
        yield Finding("extensions", "ok", f"{', '.join(EXTENSIONS)} for DuckDB {duckdb.__version__}")


def _extension_file(name: str, version: str) -> bool:
    try:
        files = importlib.metadata.files(f"duckdb-extension-{name}") or []
    except importlib.metadata.PackageNotFoundError:
        return False
    return any(f"v{version}" in str(file) and str(file).endswith(".duckdb_extension") for file in files)


def data_folder(settings: Settings) -> Iterator[Finding]:
    """Writable, private, with room."""
    folder = settings.data_dir
    if not folder.exists():
        yield Finding("data folder", "note", f"{folder} does not exist yet; 'millrace up' makes it")
        return
    from orchestration.system.data_folder import require_usable

    require_usable(folder)
    if folder.stat().st_mode & (stat.S_IRWXG | stat.S_IRWXO):
        yield Finding(
            "data folder", "problem", f"other users can enter {folder}, which holds passwords: chmod 700 it"
        )
        return
    free = shutil.disk_usage(folder).free
    if free < _LITTLE_SPACE_BYTES:
        yield Finding(
            "data folder", "problem",
            f"the disk of {folder} has only {free / 2**30:.1f} GiB left: make room",
        )  # fmt: skip
        return
    yield Finding("data folder", "ok", f"{folder} is writable and private; {free / 2**30:.0f} GiB are free")


def system(settings: Settings) -> Iterator[Finding]:
    """The running system's processes."""
    from orchestration.records.system_state import read_system_state

    state = read_system_state(settings.data_dir)
    if state is None:
        remedy = f"'millrace up' starts it{demo_hint(settings.data_dir)}"
        if demo_has_ended(settings.data_dir):
            remedy = "its demo has ended, with its brokers and its PostgreSQL; 'millrace demo' runs a new one"
        yield Finding("system", "note", f"nothing runs on {settings.data_dir}; {remedy}")
        return
    for row in state.services:
        if not row.running:
            reason = f": {row.error}" if row.error else ""
            yield Finding(
                "system", "problem",
                f"{row.name} is down{reason}; look into {settings.data_dir / 'logs' / (row.name + '.log')}",
            )  # fmt: skip
    yield Finding("system", "ok", f"'millrace {state.mode}' runs (pid {state.pid}) {state.ui_url}".rstrip())


def conditions(settings: Settings) -> Iterator[Finding]:
    """What the running system itself has found."""
    from orchestration.conditions.journal import open_conditions

    if not system_is_running(settings.data_dir):
        return
    found = open_conditions(settings.data_dir)
    for condition in found:
        yield Finding("conditions", "problem", condition.text)
    if not found:
        yield Finding("conditions", "ok", "the running system finds nothing wrong")


def reactions(settings: Settings) -> Iterator[Finding]:
    """Whether everybody who is to hear of conditions can be reached, as far as the files say."""
    from orchestration.reactions.declared import load_reactions, own_reaction, reactions_file
    from orchestration.reactions.ways import open_way

    found = load_reactions(reactions_file(settings))
    if settings.alert_webhook_url is not None:
        found = (own_reaction(), *found)
    for reaction in found:
        try:
            open_way(reaction, settings).close()
        except MillraceError as error:
            yield Finding("reactions", "problem", str(error))
    if found:
        yield Finding("reactions", "ok", f"alerts go to {', '.join(each.name for each in found)}")
    else:
        yield Finding(
            "reactions", "note",
            f"nobody hears of conditions: write {REACTIONS_FILE}, or set MILLRACE_ALERT_WEBHOOK_URL",
        )  # fmt: skip


def catalog(settings: Settings) -> Iterator[Finding]:
    """The PostgreSQL behind the lake."""
    from ingestion.lake.catalog import catalog_parameters, connect_catalog

    if settings.catalog is None:
        yield Finding("catalog", "note", "PostgreSQL is embedded and runs with 'millrace up'")
        return
    connection = connect_catalog(settings, application_name="millrace doctor")
    try:
        major = connection.server_version // 10000
        where = catalog_parameters(settings).get("host", "localhost")
        yield Finding("catalog", "ok", f"PostgreSQL {major} answers at {where}")
        yield from durability(connection)
        yield from clock(connection)
    finally:
        connection.close()


def lake(settings: Settings) -> Iterator[Finding]:
    """The lake itself."""
    from ingestion.lake.lake import Lake
    from ingestion.lake.migrations import newest
    from ingestion.lake.versions import number_of

    if settings.catalog is None:
        return
    lake = Lake(settings, read_only=True)
    try:
        number, snapshot = number_of(lake.versions()), lake.snapshot_id()
        yield Finding("lake", "ok", f"version {number}, snapshot {snapshot} at {settings.resolved_lake_path}")
        if number < newest():
            yield Finding(
                "lake", "note", f"'millrace up' migrates the lake to version {newest()}, after a backup"
            )
        yield from wide_integers(lake)
    except CatalogUnavailable as error:
        yield Finding("lake", "note", str(error))
    finally:
        lake.close()


def web_ui(settings: Settings) -> Iterator[Finding]:
    """Whether the web UI could listen, and would be safe there."""
    if system_is_running(settings.data_dir):
        return
    from orchestration.system.services import choose_page_port, choose_ui_port

    port, live = choose_ui_port(settings), choose_page_port(settings)
    asks = " and asks for a password" if settings.ui_password is not None else ""
    yield Finding("web UI", "ok", f"{settings.ui_host}:{port} is free{asks}")
    yield Finding("live page", "ok", f"{settings.ui_host}:{live} is free{asks}")


def dbt(settings: Settings, streams: Sequence[Stream]) -> Iterator[Finding]:
    """What of the dbt project cannot be built: a problem for each file."""
    from orchestration.checks.contracts import read_contracts
    from orchestration.dbt.documented import described_but_not_made
    from orchestration.dbt.project import BUILT_TYPES, contract_folders, parse_models

    settings.data_dir.mkdir(mode=0o700, parents=True, exist_ok=True)
    parsed = parse_models(settings, streams)
    nodes = parsed.manifest["nodes"].values()
    models = {node["name"] for node in nodes if node["resource_type"] == "model"}
    built = {node["name"] for node in nodes if node["resource_type"] in BUILT_TYPES}
    folders = () if parsed.broken.everything else contract_folders(settings.dbt_folder)
    contracts, unread = read_contracts(folders, built, left_out=parsed.broken.names() | parsed.disabled())
    for problem in (*parsed.broken.problems, *unread):
        yield Finding("dbt", "problem", problem)
    for sentence in described_but_not_made(parsed.manifest, streams):
        yield Finding("dbt", "note", sentence)
    marts = {node["name"] for node in nodes if node["resource_type"] == "model" and node["fqn"][1] == "marts"}
    if unchecked := sorted(marts - contracts.keys()):
        yield Finding(
            "dbt", "note",
            f"no contract is checked for {', '.join(unchecked)}: where one is wanted, write "
            f"{DBT_FOLDER}/contracts/<model>.yml",
        )  # fmt: skip
    if not parsed.broken.problems:
        yield Finding("dbt", "ok", f"the project parses; it has {len(models)} models")
