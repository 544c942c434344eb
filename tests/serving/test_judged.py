"""Which instants a run notes: nothing of a stream while one of its models is missing, fails or is refused."""

from collections.abc import Callable, Iterator

import pytest
from dagster import AssetCheckResult, AssetCheckSeverity, AssetKey

from ingestion.lake.catalog import connect_catalog
from ingestion.land.session import LakeSession
from ingestion.serve.instants import NO_STREAM, read_instants
from ingestion.settings import load_settings
from orchestration.assets.judged import JudgedBuilds, instant_groups
from orchestration.dbt.lineage import Lineage

STAGED, MART, SHOWN, OTHER, SEED, OPS = (
    AssetKey(path)
    for path in (
        ["staging", "stg_a"], ["marts", "a"], ["marts", "a_shown"], ["marts", "b"], ["seeds", "s"],
        ["ops", "lag"],
    )
)  # fmt: skip
LINEAGE = Lineage(
    {key.path[-1]: key for key in (STAGED, MART, SHOWN, OTHER, SEED, OPS)},
    {"a": frozenset({STAGED, MART, SHOWN, OPS}), "b": frozenset({OTHER, OPS})},
    tables=frozenset({STAGED, MART, OTHER}),
    following={
        STAGED: frozenset({MART, SHOWN}), MART: frozenset({SHOWN}), SHOWN: frozenset(), OTHER: frozenset(),
        SEED: frozenset({MART}), OPS: frozenset(),
    },
)  # fmt: skip
A, B = frozenset({STAGED, MART, SHOWN}), frozenset({OTHER})


class Run:
    """A run over a lake in which a version passes with each build."""

    def __init__(self, session: LakeSession) -> None:
        self.session, self.judged = session, JudgedBuilds(session, LINEAGE)
        self.count = 0

    def version(self) -> int:
        self.count += 1
        self.session.lake.connection.execute(f"create table lake.made_{self.count} (i integer)")
        return self.session.lake.snapshot_id()

    def builds(self, *built: AssetKey, of: frozenset[AssetKey] = A, failed: AssetKey | None = None) -> int:
        self.judged.begin(of)
        version = self.version()
        self.judged.end(frozenset(built), failed=frozenset({failed} if failed else ()))
        return version

    def contract(self, key: AssetKey, *, passed: bool) -> None:
        results = [AssetCheckResult(passed=passed, asset_key=key, severity=AssetCheckSeverity.ERROR)]
        list(self.judged.contracts(results))

    def instants(self) -> dict[str, int]:
        catalog = connect_catalog(self.session.settings, application_name="test")
        found = {stream: instant.snapshot for stream, instant in read_instants(catalog).items()}
        with catalog.cursor() as cursor:
            cursor.execute("delete from millrace.instants")
        catalog.close()
        return found


@pytest.fixture
def run(tmp_path_factory: pytest.TempPathFactory, new_database: Callable[[], str]) -> Iterator[Run]:
    session = LakeSession(load_settings(data_dir=tmp_path_factory.mktemp("judged"), catalog=new_database()))
    session.lake.prepare([])
    run = Run(session)
    yield run
    run.judged.close()
    session.close()


def test_streams_have_an_instant_once_all_that_follows_is_built_and_passes(run: Run) -> None:
    version = run.builds(STAGED, MART)
    assert run.instants() == {"a": version, "b": version, NO_STREAM: version}
    assert run.builds(STAGED) > version  # the mart was skipped
    assert run.instants().keys() == {"b", NO_STREAM}
    run.builds(OTHER, of=B)
    assert run.instants().keys() == {"b", NO_STREAM}
    run.builds(STAGED, MART, failed=MART)  # its test failed
    assert run.instants().keys() == {"b", NO_STREAM}
    run.builds(MART, of=frozenset({MART}))
    assert run.instants().keys() == {"a", "b", NO_STREAM}
    run.builds(STAGED, of=frozenset({STAGED}))  # somebody builds one model by hand: what follows is behind
    assert run.instants().keys() == {"b", NO_STREAM}
    run.builds(STAGED, MART)
    assert run.instants().keys() == {"a", "b", NO_STREAM}
    run.builds(STAGED, MART, failed=SHOWN)  # a view's test
    assert run.instants().keys() == {"b", NO_STREAM}


def test_a_contract_that_refuses_holds_back_until_it_passes(run: Run) -> None:
    run.contract(MART, passed=False)
    run.builds(STAGED, MART)
    assert run.instants().keys() == {"b", NO_STREAM}
    run.builds(STAGED, MART)  # the contract was not due
    assert run.instants().keys() == {"b", NO_STREAM}
    run.contract(MART, passed=True)
    run.judged.end()
    assert run.instants().keys() == {"a", "b", NO_STREAM}


def test_another_run_does_not_note_what_a_run_is_building(run: Run) -> None:
    other = Run(run.session)
    run.judged.begin(A)
    other.builds(OTHER, of=B)
    assert other.instants().keys() == {"b", NO_STREAM}
    other.builds(STAGED, MART)  # the first one is still at it
    assert other.instants().keys() == {"b", NO_STREAM}
    run.judged.end(frozenset({STAGED, MART}))
    assert run.instants().keys() == {"a", "b", NO_STREAM}
    other.judged.close()


def test_the_products_own_models_hold_back_nobody() -> None:
    assert instant_groups(LINEAGE) == {
        ("a",): {"stg_a", "a", "a_shown"}, ("b",): {"b"}, (NO_STREAM,): {"s"},
    }  # fmt: skip
