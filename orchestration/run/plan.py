"""What a run for new events builds: the streams' raw assets, the models downstream, the checks of both.

When a run is asked for is decided in sensors/arrivals.py.
"""

from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass, field

from dagster import AssetCheckKey, AssetKey, AssetsDefinition, DagsterInstance, RunRequest

from orchestration.dbt.lineage import Lineage
from orchestration.keys import (
    CODE_TAG,
    EVERY_MODEL,
    GOES_ON_TAG,
    LEFT_OUT_TAG,
    MODELS_TAG,
    OPS_GROUP,
    STREAM_TAG,
    STREAMS_TAG,
    UNTIL_TAG,
    raw_key,
)

_MOST_STREAM_TAGS = 20
Repairs = Callable[[DagsterInstance, str], RunRequest | None]
"""Called with an ISO time: the run that the oldest repair after it asks for."""


@dataclass(frozen=True)
class RefreshPlan:
    """What to build for which stream.

    Attributes:
        downstream: Stream → its raw asset and the models that new events change.
        checks: Asset → its checks that belong to a run; those that read whole tables do not.
        models: All models and seeds.
        fingerprint: Changes when the text of one of them does.
        tables: Stream → the models among those that follow from it that have to be built to show it.
        text: Changes with every edit of the dbt project.
        left_out: The models that cannot be built now, because the project is broken.
        followers: Model → the models that follow from it.
        code: The state of the files that all this was read from.
    """

    downstream: Mapping[str, frozenset[AssetKey]]
    checks: Mapping[AssetKey, frozenset[AssetCheckKey]]
    models: frozenset[AssetKey]
    fingerprint: str
    tables: Mapping[str, frozenset[AssetKey]] = field(default_factory=dict)
    text: str = ""
    left_out: frozenset[AssetKey] = frozenset()
    followers: Mapping[AssetKey, frozenset[AssetKey]] = field(default_factory=dict)
    code: str = ""

    def with_followers(self, names: Iterable[str]) -> frozenset[AssetKey]:
        """Models and what follows from them.

        Args:
            names: As in marts/orders, or EVERY_MODEL; unknown ones are ignored.
        """
        names = frozenset(names)
        if EVERY_MODEL in names:
            return self.models
        chosen = frozenset(key for key in self.models if key.to_user_string() in names)
        return chosen.union(*(self.followers.get(key, frozenset()) for key in chosen))

    def streams_of(self, models: frozenset[AssetKey]) -> frozenset[str]:
        """The streams that one of these models follows from."""
        return frozenset(stream for stream, keys in self.downstream.items() if keys & models)

    def request(
        self,
        streams: Sequence[str],
        *,
        built: str,
        goes_on: Sequence[str] = (),
        until: float | None = None,
        not_modelled: Iterable[str] = (),
        due: frozenset[AssetKey] = frozenset(),
        paused: frozenset[AssetKey] = frozenset(),
    ) -> RunRequest:
        """A run for these streams.

        Args:
            streams: What to ingest; what follows from it is built.
            built: Fingerprint of the models that were last built as a whole. If it differs from this plan's,
                everything is built, so that new models and seeds exist before others read them.
            goes_on: The streams that the run may ingest afterwards, while events keep coming.
            until: When it has to stop doing so (Unix seconds).
            not_modelled: Streams with a batch that is not in their models yet, perhaps because a check
                holds it back: their models are not among those that are built only because all are.
            due: Models that have to be tried again.
            paused: Models that must not be built now, followers of failing ones included.
        """
        keys = frozenset[AssetKey]().union(*(self.downstream[name] for name in streams))
        left_out = frozenset(not_modelled) - frozenset(streams)
        tags = {STREAMS_TAG: ",".join(streams)}
        if len({*streams, *goes_on}) <= _MOST_STREAM_TAGS:
            tags |= {f"{STREAM_TAG}{name}": "while the run goes on" for name in goes_on}
            tags |= {f"{STREAM_TAG}{name}": "first" for name in streams}
        if goes_on:
            tags[GOES_ON_TAG] = ",".join(goes_on)
            if self.code:
                tags[CODE_TAG] = self.code
            if until is not None:
                tags[UNTIL_TAG] = str(until)
        if built != self.fingerprint:
            keys |= self.models.difference(*(self.downstream[name] for name in left_out))
            if not left_out:
                tags[MODELS_TAG] = self.fingerprint
        keys = (keys | due) - paused
        if paused:
            tags[LEFT_OUT_TAG] = ",".join(sorted(key.to_user_string() for key in paused))
        checks = frozenset[AssetCheckKey]().union(*(self.checks.get(key, frozenset()) for key in keys))
        return RunRequest(asset_selection=sorted(keys), asset_check_keys=sorted(checks), tags=tags)


def refresh_plan(
    lineage: Lineage,
    *,
    fingerprint: str,
    text: str = "",
    code: str = "",
    left_out: Iterable[AssetKey] = (),
    assets: Sequence[AssetsDefinition] = (),
) -> RefreshPlan:
    """Plan the runs for new events.

    Args:
        lineage: The models, and what follows from each stream.
        fingerprint: Of the models' text (ParsedModels.fingerprint).
        text: Of everything that was parsed (ParsedModels.text).
        code: The state of the files that all this was read from (fingerprint.of_project).
        left_out: The models that cannot be built now.
        assets: Those whose checks belong to a run.
    """
    # Views over the ledger show what is new by themselves; they are built when a model's text has changed.
    ops_views = {key for key in lineage.keys.values() if key.path[0] == OPS_GROUP} - lineage.tables
    return RefreshPlan(
        checks={
            key: frozenset(check for check in asset.check_keys if check.asset_key == key)
            for asset in assets
            for key in asset.keys
        },
        downstream={
            stream: models - ops_views | {raw_key(stream)} for stream, models in lineage.followers.items()
        },
        models=frozenset(lineage.keys.values()),
        fingerprint=fingerprint,
        tables=lineage.tables_of(),
        text=text,
        code=code,
        left_out=frozenset(left_out),
        followers=lineage.following,
    )
