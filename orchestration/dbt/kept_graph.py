"""What dbt works out of a manifest alone, worked out once: its graph, and which nodes a selection names.

A build of four models links the whole graph, sums it up twice for a file that nobody reads, and asks three
times for the nodes of one selection: 50 ms before its first statement. Copies for runs (manifest.py) share
what was found; a manifest from elsewhere is left to dbt.
"""

from dataclasses import dataclass, field
from typing import Any

from dbt.compilation import Compiler
from dbt.graph import Graph
from dbt.graph.selector import NodeSelector
from dbt.graph.selector_methods import MethodName
from dbt.graph.selector_spec import SelectionCriteria

_ELSEWHERE = frozenset({MethodName.State, MethodName.Result, MethodName.SourceStatus})
"""Methods whose answer depends on files of earlier commands."""
_NAME = "_millrace_found"
_compile, _selected = Compiler.compile, NodeSelector.get_selected


@dataclass
class _Linked:
    graph: Any
    parents: dict[str, list[str]]
    children: dict[str, list[str]]


@dataclass
class _Found:
    graphs: dict[bool, _Linked] = field(default_factory=dict)
    selections: dict[Any, frozenset[str]] = field(default_factory=dict)


def share_found(copy: Any, origin: Any) -> Any:
    """Let a copy of a manifest know what was found of it.

    Args:
        copy: dbt's Manifest, with the nodes and edges of the other.
        origin: The one it was copied from.

    Returns:
        The copy.
    """
    setattr(copy, _NAME, origin.__dict__.setdefault(_NAME, _Found()))
    return copy


def keep_graphs() -> None:
    """Have dbt do so in this process; any number of times."""
    Compiler.compile = kept_compile
    NodeSelector.get_selected = kept_selection


def kept_compile(
    compiler: Compiler, manifest: Any, write: bool = True, add_test_edges: bool = False
) -> Graph:
    """`Compiler.compile`: the graph of a manifest; nothing of it is compiled there, whatever its name.

    Args:
        compiler: dbt's.
        manifest: Whose graph.
        write: Whether dbt writes the graph into a file; then it does all itself.
        add_test_edges: Whether models wait for tests of what they read.
    """
    found: _Found | None = getattr(manifest, _NAME, None)
    if found is None or compiler.config.args.which == "list":
        return _compile(compiler, manifest, write=write, add_test_edges=add_test_edges)
    linked = found.graphs.get(add_test_edges)
    if linked is None:
        graph = _compile(compiler, manifest, write=write, add_test_edges=add_test_edges)
        maps = (manifest.parent_map, manifest.child_map) if add_test_edges else ({}, {})
        linked = _Linked(graph.graph, *maps)
        found.graphs[add_test_edges] = linked
    elif add_test_edges:
        manifest.parent_map, manifest.child_map = linked.parents, linked.children
    return Graph(linked.graph)


def kept_selection(selector: NodeSelector, spec: Any, warn_on_no_nodes: bool = True) -> set[str]:
    """`NodeSelector.get_selected`: the ids of the nodes that a selection names.

    Args:
        selector: dbt's; its kind says which nodes count.
        spec: dbt's, of the arguments of a command.
        warn_on_no_nodes: Whether dbt warns of none; those answers are not kept.
    """
    found: _Found | None = getattr(selector.manifest, _NAME, None)
    words = None if found is None else _words(spec)
    if found is None or words is None:
        return set(_selected(selector, spec, warn_on_no_nodes))
    kinds = frozenset(getattr(selector, "resource_types", ()))
    key = (type(selector), kinds, selector.include_empty_nodes, words)
    if key not in found.selections:
        nodes = frozenset(_selected(selector, spec, warn_on_no_nodes))
        if not nodes:
            return set()
        found.selections[key] = nodes
    return set(found.selections[key])


def _words(spec: Any) -> tuple[Any, ...] | None:
    """A selection as a value that can be compared; None if its answer depends on more than the manifest."""
    if isinstance(spec, SelectionCriteria):
        return None if spec.method in _ELSEWHERE else (repr(spec),)
    parts = [_words(each) for each in spec.components]
    if any(part is None for part in parts):
        return None
    return (type(spec), spec.indirect_selection, spec.expect_exists, *parts)
