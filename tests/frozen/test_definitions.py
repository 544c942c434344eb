"""Everything that Dagster knows of Millrace, as text: assets, checks, jobs, schedules, sensors, resources.

How it is compared and stored again: snapshot.py.
"""

from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import Any

from dagster import AssetsDefinition, AssetSpec

from tests.frozen.product import definitions, load_settings
from tests.frozen.snapshot import check


def test_definitions(tmp_path: Path) -> None:
    defs = definitions(load_settings(data_dir=tmp_path))
    repository = defs.get_repository_def()
    lines = [
        *_section("asset", _assets(repository.asset_graph)),
        *_section("asset definition", _asset_definitions(defs)),
        *_section("check", _checks(defs)),
        *_section("job", {job.name: _job(job) for job in repository.get_all_jobs()}),
        *_section("schedule", {each.name: _schedule(each) for each in repository.schedule_defs}),
        *_section("sensor", {each.name: _sensor(each) for each in repository.sensor_defs}),
        *_section("resource", {name: [type(each).__name__] for name, each in (defs.resources or {}).items()}),
    ]
    text = "\n".join(lines)
    assert str(tmp_path) not in text
    assert " at 0x" not in text
    check("definitions.txt", text)


def _section(kind: str, entries: Mapping[str, list[str]]) -> Iterator[str]:
    for name, lines in sorted(entries.items()):
        yield f"{kind} {name}"
        yield from (f"  {line}" for line in lines)
        yield ""


def _assets(graph: Any) -> dict[str, list[str]]:
    found = {}
    for key in graph.get_all_asset_keys():
        node = graph.get(key)
        found[key.to_user_string()] = [
            f"group: {node.group_name}",
            f"kinds: {_names(node.kinds)}",
            f"executable: {node.is_executable}",
            f"partitions: {node.partitions_def}",
            f"automation: {node.automation_condition}",
            f"deps: {_names(parent.to_user_string() for parent in node.parent_keys)}",
            f"owners: {_names(node.owners)}",
            f"tags: {_pairs(node.tags)}",
            f"metadata: {_names(node.metadata)}",
            f"columns: {_columns(node.metadata)}",
            "description:",
            *(f"  {line}".rstrip() for line in (node.description or "").splitlines()),
        ]
    return found


def _columns(metadata: Mapping[str, Any]) -> str:
    schema = metadata.get("dagster/column_schema")
    schema = getattr(schema, "value", schema)
    return _names(f"{each.name} {each.type}" for each in schema.columns) if schema else ""


def _asset_definitions(defs: Any) -> dict[str, list[str]]:
    found = {}
    for each in (*defs.assets, *defs.asset_checks):
        if isinstance(each, AssetSpec):
            continue
        assert isinstance(each, AssetsDefinition)
        found[each.node_def.name] = [
            f"op tags: {_pairs(each.op.tags)}",
            f"pool: {each.op.pool}",
            f"retry: {each.op.retry_policy}",
            f"resources: {_names(each.required_resource_keys)}",
            f"can subset: {each.can_subset}",
            f"assets: {_names(key.to_user_string() for key in each.keys)}",
            f"checks: {len(list(each.check_keys))}",
            *_config(each.op.config_schema.config_type),
        ]
    return found


def _checks(defs: Any) -> dict[str, list[str]]:
    found: dict[str, list[str]] = {}
    for each in (*defs.assets, *defs.asset_checks):
        for spec in getattr(each, "check_specs", ()):
            name = f"{spec.asset_key.to_user_string()} {spec.name}"
            assert name not in found
            found[name] = [
                f"blocking: {spec.blocking}",
                f"by: {each.node_def.name}",
                f"deps: {_names(dep.asset_key.to_user_string() for dep in spec.additional_deps)}",
                f"metadata: {_names(spec.metadata or {})}",
                f"description: {spec.description}",
            ]
    return found


def _job(job: Any) -> list[str]:
    layer = job.asset_layer
    assets = [key.to_user_string() for key in layer.executable_asset_keys]
    checks = [f"{key.asset_key.to_user_string()} {key.name}" for key in layer.asset_graph.asset_check_keys]
    lines = [
        f"description: {job.description}",
        f"tags: {_pairs(job.tags)}",
        f"run tags: {_pairs(job.run_tags)}",
        f"executor: {job.executor_def.name}",
        f"resources: {_names(job.resource_defs)}",
        f"hooks: {_names(hook.name for hook in job.hook_defs)}",
        f"assets: {_names(assets)}",
        "checks:",
        *(f"  {name}" for name in sorted(checks)),
    ]
    for node in sorted(job.graph.nodes, key=lambda node: node.name):
        op = node.definition
        lines += [f"op {node.name}", f"  tags: {_pairs({**op.tags, **node.tags})}"]
        lines += [f"  {line}" for line in _config(op.config_schema.config_type)]
        lines += [f"  description: {line}" for line in (op.description or "").splitlines() if assets == []]
    return lines


def _config(config_type: Any) -> list[str]:
    """A configuration's fields, with type, default and description."""
    lines = ["config:"]
    for name, field in sorted((getattr(config_type, "fields", None) or {}).items()):
        default = f" = {field.default_value!r}" if field.default_provided else ""
        kind = field.config_type.given_name or str(field.config_type.kind)
        inner = getattr(field.config_type, "inner_type", None)
        kind += f" of {inner.given_name}" if inner is not None else ""
        lines.append(f"  {name}: {kind}{default}{' required' if field.is_required else ''}")
        lines += [f"    {line}" for line in (field.description or "").splitlines()]
    return lines if len(lines) > 1 else ["config: none"]


def _schedule(schedule: Any) -> list[str]:
    return [
        f"cron: {schedule.cron_schedule}",
        f"time zone: {schedule.execution_timezone}",
        f"job: {schedule.job_name}",
        f"status: {schedule.default_status.name}",
        f"description: {schedule.description}",
        f"tags: {_pairs(schedule.tags)}",
    ]


def _sensor(sensor: Any) -> list[str]:
    return [
        f"kind: {sensor.sensor_type.name}",
        f"minimum interval: {sensor.minimum_interval_seconds} s",
        f"status: {sensor.default_status.name}",
        f"jobs: {_names(target.job_name for target in sensor.targets if target.has_job_def)}",
        f"resources: {_names(sensor.required_resource_keys)}",
        f"description: {sensor.description}",
        f"tags: {_pairs(sensor.tags)}",
    ]


def _names(values: Any) -> str:
    return ", ".join(sorted(map(str, values))) or "-"


def _pairs(values: Mapping[str, object] | None) -> str:
    return _names(f"{key}={value}" for key, value in (values or {}).items())
