"""A project that dbt cannot parse is parsed without the files that are wrong and what follows from them.

dbt parses all or nothing and stops at its first error. So each file that an error is about (blame.py) is
taken out of a copy of the project (scratch.py), a model by a stub in its place, until the rest parses. Then
the graph is pruned.
"""

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from graphlib import CycleError, TopologicalSorter
from pathlib import Path
from typing import Any

from orchestration.dbt.blame import blamed, line_of, reason
from orchestration.dbt.broken import REMEDY, Broken, LeftOut
from orchestration.dbt.call import DbtProject
from orchestration.dbt.scratch import Scratch

_MOST_PARSES = 40
_MODELS = ("model", "seed", "snapshot")

Parse = Callable[[DbtProject], Any]
"""Parses a project; returns dbt's outcome, a failed one included."""


@dataclass
class _Aside:
    """What has been done to the copy so far.

    Attributes:
        reasons: A file that is wrong → the place and why.
        steps: Such a file → how far it is out: stubbed, untested, removed.
        causes: The file of a model or seed that must not be built → the file that is wrong.
    """

    reasons: dict[str, str] = field(default_factory=dict)
    steps: dict[str, str] = field(default_factory=dict)
    causes: dict[str, str] = field(default_factory=dict)


def parse_the_rest(
    project: DbtProject, error: Exception, *, parse: Parse, folder: Path
) -> tuple[Any, Broken]:
    """Parse what can be parsed of a project that does not parse as a whole.

    Args:
        project: The project.
        error: What dbt raised on the whole project.
        parse: Parses a copy of it.
        folder: An empty folder, for the copy.

    Returns:
        dbt's Manifest of the rest, or None when no model can be built; and what is left out.
    """
    scratch, aside = Scratch(project, folder), _Aside()
    for _ in range(_MOST_PARSES):
        files = blamed(error, scratch.files, folder=folder)
        if not files or not all([_set_aside(scratch, aside, file, error, cause=files[0]) for file in files]):
            break
        outcome = parse(scratch.project)
        if outcome.success:
            return _rest(project, outcome.result, aside)
        error = outcome.exception
    return None, nothing_can_be_built(project, error, next(iter(files), None))


def without_circles(project: DbtProject, manifest: Any) -> Broken:
    """Leave out models that refer to each other in a circle, which dbt would find only when it builds.

    Args:
        project: The project.
        manifest: dbt's Manifest; nodes are removed from it.
    """
    found = Broken()
    while circle := _circle(manifest):
        names = " → ".join(unique_id.split(".")[-1] for unique_id in circle)
        file = manifest.nodes[circle[0]].original_file_path
        why = _sentence(project, f"{file}: its models refer to each other in a circle ({names})")
        left_out = _prune(manifest, dict.fromkeys(circle, why))
        found += Broken((_with_names(why, left_out),), tuple(left_out))
    return found


def nothing_can_be_built(project: DbtProject, error: Exception, file: str | None = None) -> Broken:
    """What is left out when it is unknown what is broken: every model.

    Args:
        project: The project.
        error: Why.
        file: The file that is wrong, if it is known.
    """
    where = f"{_place(file, line_of(error))}: " if file else ": "
    why = (
        f"{project.project_dir.name}{'/' if file else ''}{where}{reason(error)}. Until this is corrected no "
        "model is built; events go on landing."
    )
    folders = (("models", ".sql"), ("models", ".py"), ("seeds", ".csv"))
    files = [
        path.relative_to(project.project_dir)
        for folder, ending in folders
        for path in sorted((project.project_dir / folder).rglob(f"*{ending}"))
    ]
    return Broken((why,), tuple(_of_file(project, path, why) for path in files), everything=True)


def _set_aside(scratch: Scratch, aside: _Aside, file: str, error: Exception, *, cause: str) -> bool:
    """Take a file one step further out of the copy; False when there is no further step.

    Args:
        scratch: The copy.
        aside: What has been done to it; noted there.
        file: The file.
        error: What dbt raised about it.
        cause: The first of the files that the error is about.
    """
    kind, step = scratch.kind(file), aside.steps.get(file)
    if kind in ("macro", "project", "seed") or step == "removed":
        return False
    cause = _removed_before(scratch, aside, error) or cause
    if cause == file:
        aside.reasons.setdefault(file, f"{_place(file, line_of(error))}: {reason(error)}")
    if kind == "model" and step is None:
        scratch.stub(file)
        aside.causes[file], aside.steps[file] = cause, "stubbed"
    elif (
        kind == "properties"
        and step is None
        and scratch.without_tests(file, unit_tests="unit test" in str(error))
    ):
        aside.steps[file] = "untested"
    else:
        scratch.remove(file)
        aside.steps[file] = "removed"
        # A model's materialization may stand there: built without it, its table would be replaced.
        for model in scratch.described(file) if kind == "properties" else ():
            aside.causes.setdefault(model, cause)
            if scratch.kind(model) == "model" and model not in aside.steps:
                scratch.stub(model)
    return True


def _removed_before(scratch: Scratch, aside: _Aside, error: Exception) -> str | None:
    """The removed file that held what a reference no longer finds, if that is the error."""
    target = getattr(error, "target_name", None)
    if not isinstance(target, str):
        return None
    name = target.rpartition(".")[2]
    removed = [file for file, step in aside.steps.items() if step == "removed"]
    return next((file for file in removed if scratch.defined(file, name)), None)


def _rest(project: DbtProject, manifest: Any, aside: _Aside) -> tuple[Any, Broken]:
    """The manifest of the copy as one of the project, without what was set aside."""
    for node in manifest.nodes.values():
        if getattr(node, "root_path", None):
            node.root_path = str(project.project_dir)  # a seed's rows are read from there
    sentences = {file: _sentence(project, why) for file, why in aside.reasons.items()}
    causes = {file: sentences[wrong] for file, wrong in aside.causes.items()}
    roots = {
        node.unique_id: causes[node.original_file_path]
        for node in manifest.nodes.values()
        if node.resource_type in _MODELS and node.original_file_path in causes
    }
    files = {manifest.nodes[unique_id].original_file_path for unique_id in roots}
    left_out = _prune(manifest, roots)
    # Of two models with one name there is no node: their files were removed.
    left_out += [_of_file(project, Path(file), why) for file, why in causes.items() if file not in files]
    problems = [
        f"{sentence} Until then its tests are left out."
        if aside.steps[file] == "untested"
        else _with_names(sentence, [model for model in left_out if model.why.startswith(sentence)])
        for file, sentence in sentences.items()
    ]
    return manifest, Broken(tuple(problems), tuple(left_out))


def _prune(manifest: Any, roots: Mapping[str, str]) -> list[LeftOut]:
    """Remove nodes, and all that follows from them, from a manifest.

    Args:
        manifest: dbt's Manifest.
        roots: dbt's id of a node → why it cannot be built.
    """
    groups = (manifest.nodes, manifest.unit_tests, manifest.exposures)
    origins, reasons = dict(roots), dict(roots)
    while followers := {
        unique_id: cause
        for group in groups
        for unique_id, node in group.items()
        if unique_id not in origins and (cause := next((p for p in _parents(node) if p in origins), None))
    }:
        for unique_id, cause in followers.items():
            origins[unique_id] = origins[cause]
            reasons[unique_id] = f"{origins[cause]} It follows from {cause.split('.')[2]}."
    left_out = []
    for unique_id, why in reasons.items():
        node = next(group.pop(unique_id) for group in groups if unique_id in group)
        if node.resource_type in _MODELS:
            # Of what replaces a broken model, dbt knows no parents.
            parents = () if unique_id in roots else _parents(node)
            left_out.append(
                LeftOut(unique_id, str(node.resource_type), node.name, tuple(node.fqn), parents, why)
            )
    return left_out


def _parents(node: Any) -> tuple[str, ...]:
    return tuple(getattr(node.depends_on, "nodes", ()))


def _circle(manifest: Any) -> list[str]:
    graph = {
        unique_id: [parent for parent in _parents(node) if parent in manifest.nodes]
        for unique_id, node in manifest.nodes.items()
    }
    try:
        TopologicalSorter(graph).prepare()
    except CycleError as error:
        return list(dict.fromkeys(error.args[1]))
    return []


def _of_file(project: DbtProject, file: Path, why: str) -> LeftOut:
    """A model or seed as its file names it, where there is no node of it."""
    package = project.project_dir.name
    kind = "seed" if file.suffix == ".csv" else "model"
    fqn = (package, *file.with_suffix("").parts[1:])
    return LeftOut(f"{kind}.{package}.{file.stem}", kind, file.stem, fqn, (), why)


def _sentence(project: DbtProject, why: str) -> str:
    return f"{project.project_dir.name}/{why}. {REMEDY}"


def _with_names(sentence: str, left_out: Sequence[LeftOut]) -> str:
    names = ", ".join(sorted(model.name for model in left_out))
    return f"{sentence} Until then {f'these are not built: {names}' if names else 'it is left out'}."


def _place(file: str, line: int | None) -> str:
    return f"{file}, line {line}" if line is not None else file
