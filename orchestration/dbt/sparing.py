"""What dbt does again with every command or every statement, although the answer stays: done once.

A build of four models asks for the columns of eight relations, each through a macro whose context holds every
macro of every package; it lists the schemas three times, and every folder of Python's path. To name the
module that makes its adapter it reads the source of the whole stack. It compiles the template of each model
whenever it builds it. Nothing here changes what dbt writes.
"""

import functools
import sys
from collections.abc import Iterable
from typing import Any

from dbt.adapters.sql import SQLAdapter
from dbt.plugins.manager import PluginManager
from dbt_common import behavior_flags
from dbt_common.clients import agate_helper
from dbt_common.clients.jinja import MacroFuzzEnvironment

from orchestration.dbt.kept_graph import keep_graphs

_COLUMNS_MACRO = "get_columns_in_relation"
_KEPT_TESTERS = 256
_KEPT_TEMPLATES = 1024
_templates = dict[tuple[type, str], Any]()
_build_type_tester = agate_helper.build_type_tester
_module = behavior_flags.BehaviorFlagRendered._default_source
_compile = MacroFuzzEnvironment.compile
_columns, _schemas = SQLAdapter.get_columns_in_relation, SQLAdapter.list_schemas


def be_sparing() -> None:
    """Have dbt do so in this process; to be called before its commands, any number of times."""
    if SQLAdapter.get_columns_in_relation is columns_in_relation:
        return
    PluginManager.get_prefixed_modules = functools.cache(PluginManager.get_prefixed_modules)
    agate_helper.build_type_tester = _kept_type_tester
    behavior_flags.BehaviorFlagRendered._default_source = staticmethod(asking_module)  # type: ignore[method-assign]
    MacroFuzzEnvironment.compile = compile_template  # type: ignore[method-assign, assignment]
    keep_graphs()
    SQLAdapter.list_schemas = list_schemas
    SQLAdapter.get_columns_in_relation = columns_in_relation


def asking_module() -> str:
    """The module that declares a flag of behaviour: the first in the stack that is not dbt's own of flags."""
    frame = sys._getframe(1)
    while frame.f_globals.get("__name__") == behavior_flags.__name__ and frame.f_back is not None:
        frame = frame.f_back
    return str(frame.f_globals.get("__name__", "Unknown"))


def compile_template(environment: Any, source: Any, *args: Any, **options: Any) -> Any:
    """Jinja's `Environment.compile`; the code of a text, which depends on the kind of environment, is kept.

    Args:
        environment: dbt's, which it makes for each template.
        source: The text.
        args: Jinja's further arguments; with any of them nothing is kept.
        options: As `args`.
    """
    if args or options or not isinstance(source, str):
        return _compile(environment, source, *args, **options)
    key = (type(environment), source)
    code = _templates.get(key)
    if code is None:
        if len(_templates) >= _KEPT_TEMPLATES:
            _templates.clear()
        code = _templates[key] = _compile(environment, source)
    return code


def _kept_type_tester(text_columns: Iterable[str], string_null_values: Any = ("null", "")) -> Any:
    return _type_tester(frozenset(text_columns), tuple(string_null_values))


@functools.lru_cache(maxsize=_KEPT_TESTERS)
def _type_tester(text_columns: frozenset[str], string_null_values: tuple[str, ...]) -> Any:
    return _build_type_tester(text_columns, string_null_values)


def list_schemas(adapter: Any, database: str) -> list[str]:
    """The schemas of a database; dbt asks once for every kind of relation, before it makes any.

    Args:
        adapter: dbt's, which lives for one command.
        database: Quoted, as dbt renders it.
    """
    known: dict[str, list[str]] = adapter.__dict__.setdefault("_millrace_schemas", {})
    if database not in known:
        known[database] = _schemas(adapter, database)
    return known[database]


def columns_in_relation(adapter: Any, relation: Any) -> list[Any]:
    """What dbt-duckdb's macro answers, without the macro; another adapter's or a project's own is called.

    Args:
        adapter: dbt's.
        relation: A table or view.
    """
    if adapter.type() != "duckdb" or _is_overridden(adapter):
        return list(_columns(adapter, relation))
    _, cursor = adapter.connections.add_query(
        f"select column_name, column_type from (describe {relation.render()})", auto_begin=False
    )
    return [adapter.Column(name, kind, None, None, None) for name, kind in cursor.fetchall()]


def _is_overridden(adapter: Any) -> bool:
    """Whether somebody else than dbt and its adapter defines the macro."""
    if "_millrace_own_columns" not in adapter.__dict__:
        resolver = adapter.get_macro_resolver()
        names = {_COLUMNS_MACRO, f"duckdb__{_COLUMNS_MACRO}"}
        adapter._millrace_own_columns = resolver is None or any(
            macro.name in names and macro.package_name not in ("dbt", "dbt_duckdb")
            for macro in resolver.macros.values()
        )
    return bool(adapter._millrace_own_columns)
