"""What dbt is spared does not change what it answers."""

from collections.abc import Iterator
from pathlib import Path
from typing import Any

import duckdb
import pytest
from dbt.clients.jinja import get_rendered
from dbt_common.behavior_flags import Behavior, BehaviorFlag, BehaviorFlagRendered
from dbt_common.exceptions import CompilationError, UndefinedMacroError

from orchestration.dbt import manifest as dbt_manifest
from orchestration.dbt import sparing
from orchestration.dbt.call import DbtProject
from orchestration.dbt.runner import build_args, invoke
from tests.orchestration.tiny_dbt import DATABASE, tiny_project

_TYPES = "1::bigint as a, 1.5::decimal(12, 3) as b, [{'x': now()}] as \"List C\", 'text' as d, {'y': 1} as e"
_TEXT = """
{%- macro text_of(columns) -%}
    {%- for each in columns -%}
        {{ each.name }}|{{ each.dtype }}|{{ each.data_type }}|{{ each.char_size }};
    {%- endfor -%}
{%- endmacro -%}
"""
_OVERRIDDEN = """
{% macro duckdb__get_columns_in_relation(relation) -%}
    {{ return([api.Column('of_the_project', 'text')]) }}
{%- endmacro %}
"""
_NOTHING = "api.Relation.create(database=target.database, schema=target.schema, identifier='nothing')"
FILES = {
    "macros/text.sql": _TEXT,
    "models/typed.sql": f"select {_TYPES}",
    "models/columns.sql": f"""
{{%- set typed = ref('typed') -%}}
select
    $${{{{ text_of(adapter.get_columns_in_relation(typed)) }}}}$$ as spared,
    $${{{{ text_of(dbt.duckdb__get_columns_in_relation(typed)) if execute }}}}$$ as asked,
    {{{{ adapter.get_columns_in_relation({_NOTHING}) | length }}}} as of_nothing
""",
}


@pytest.fixture
def project(tmp_path: Path) -> Iterator[DbtProject]:
    yield tiny_project(tmp_path, FILES)
    dbt_manifest._read_manifest.cache_clear()


def built(project: DbtProject) -> tuple[str, str, int]:
    invoke(project, build_args("build"))
    with duckdb.connect(project.environment[DATABASE]) as connection:
        spared, asked, of_nothing = connection.execute("select * from columns").fetchall()[0]
    return spared, asked, of_nothing


def test_columns_are_those_that_the_adapter_s_macro_gives(project: DbtProject) -> None:
    spared, asked, of_nothing = built(project)
    assert spared == asked
    assert [each.split("|")[0] for each in spared.split(";")][:5] == ["a", "b", "List C", "d", "e"]
    assert of_nothing == 0


def test_a_project_s_own_macro_is_still_asked(project: DbtProject) -> None:
    (project.project_dir / "macros" / "columns.sql").write_text(_OVERRIDDEN)
    spared, asked, _ = built(project)
    assert spared.startswith("of_the_project|text")
    assert asked.startswith("a|BIGINT"), "dbt-duckdb's own, called by its name"


def test_schemas_are_listed_once_a_command_and_anew_by_the_next(
    project: DbtProject, monkeypatch: pytest.MonkeyPatch
) -> None:
    asked: list[tuple[int, str]] = []
    original = sparing._schemas

    def noted(adapter: Any, database: str) -> Any:
        asked.append((id(adapter), database))
        return original(adapter, database)

    monkeypatch.setattr(sparing, "_schemas", noted)
    built(project)
    first = len(asked)
    built(project)
    assert first == len(set(asked[:first])) >= 1
    assert len(asked) == 2 * first


def test_a_flag_of_behaviour_names_the_module_that_declares_it() -> None:
    def sources() -> list[str]:
        flag = BehaviorFlag(name="a_flag", default=False, description="what it is")
        alone, (among, *_) = BehaviorFlagRendered(flag, {}), Behavior([flag], {})._flags
        return [each._behavior_change_event.flag_source for each in (alone, among)]

    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(BehaviorFlagRendered, "_default_source", staticmethod(sparing._module))
        asked = sources()
    sparing.be_sparing()
    assert BehaviorFlagRendered._default_source is sparing.asking_module
    assert sources() == asked == [__name__] * 2


def test_a_template_is_compiled_once_for_each_kind_of_environment(monkeypatch: pytest.MonkeyPatch) -> None:
    sparing.be_sparing()
    monkeypatch.setattr(sparing, "_templates", {})
    monkeypatch.setattr(sparing, "_KEPT_TEMPLATES", 3)
    compiled = list[str]()
    original = sparing._compile

    def noted(environment: Any, source: Any, *args: Any, **options: Any) -> Any:
        compiled.append(source)
        return original(environment, source, *args, **options)

    monkeypatch.setattr(sparing, "_compile", noted)

    def rendered(text: str, native: bool = False, **values: Any) -> Any:
        return get_rendered(text, values, native=native)

    assert [rendered("{{ a + 1 }} {% do b %}", a=each, b=0) for each in (1, 2)] == ["2 ", "3 "]
    assert compiled == ["{{ a + 1 }} {% do b %}"]
    assert [rendered("{{ a | as_number }}", native=True, a="5"), rendered("{{ a | as_number }}", a="5")] == [
        5,
        "5",
    ]
    assert len(compiled) == 3
    with pytest.raises(UndefinedMacroError):
        rendered("{{ nobody() }}")
    assert rendered("{{ nobody() }}", nobody=lambda: "somebody") == "somebody", (
        "names are looked up each time"
    )
    with pytest.raises(CompilationError):
        rendered("{% broken")
    assert len(sparing._templates) <= 3
