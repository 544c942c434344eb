"""streams.yml → the declared streams, with the line in every error.

What a stream may declare is in stream.py.
"""

from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any, NamedTuple

import yaml
from pydantic import BaseModel, ValidationError

from ingestion.connectors.registry import connectors
from ingestion.declare.fields import FieldSpec
from ingestion.declare.lines import line_of, refuse_duplicate_keys
from ingestion.declare.sequence import SequenceSpec
from ingestion.declare.stream import Stream, suggest
from ingestion.errors import ConfigError, FormatUnavailable
from ingestion.formats.port import FOLDER, SETTINGS
from ingestion.formats.registry import find_format, option_names
from ingestion.settings import Settings

_MESSAGE_CHARACTERS = 300


@dataclass(frozen=True)
class Waiting:
    """A declared stream of which too little is known to use it.

    Attributes:
        name: Its name.
        sentence: Where it is declared, what is missing and what to do.
    """

    name: str
    sentence: str


class Declared(NamedTuple):
    """What streams.yml declares.

    Attributes:
        streams: Those that can be used.
        waiting: Those whose fields are a schema's that nobody gives now.
    """

    streams: tuple[Stream, ...]
    waiting: tuple[Waiting, ...] = ()


def declared_streams(settings: Settings, path: Path | None = None) -> tuple[Stream, ...]:
    """The streams of a system that can be used; who has to name the others asks `read_declared`.

    Args:
        settings: Its settings.
        path: Another file than its streams.yml.

    Raises:
        ConfigError: As read_streams says.
    """
    return read_declared(settings, path).streams


def read_declared(settings: Settings, path: Path | None = None) -> Declared:
    """The streams of a system, and those that wait.

    Args:
        settings: Its settings.
        path: Another file than its streams.yml.

    Raises:
        ConfigError: As read_streams says.
    """
    return read_streams(path or settings.streams_file, project=settings.project, settings=settings)


def load_streams(
    path: Path, *, project: Path | None = None, settings: Settings | None = None
) -> tuple[Stream, ...]:
    """The streams of a file that can be used; arguments and errors as of read_streams."""
    return read_streams(path, project=project, settings=settings).streams


def read_streams(path: Path, *, project: Path | None = None, settings: Settings | None = None) -> Declared:
    """Read and validate streams.yml.

    Args:
        path: The file.
        project: The folder from which the paths in it go; the file's by default.
        settings: Of the system, where there is one: schemas may have to be asked for.

    Raises:
        ConfigError: Names file, line, what is wrong and, for a misspelt key, the likely one.
    """
    try:
        text = path.read_text(encoding="utf-8")
    except (OSError, UnicodeDecodeError) as error:
        raise ConfigError(f"{path} cannot be read ({error}); MILLRACE_STREAMS_FILE names the file") from None
    try:
        root = yaml.compose(text, Loader=yaml.SafeLoader)
        declared = yaml.safe_load(text)
    except yaml.MarkedYAMLError as error:
        line = error.problem_mark.line + 1 if error.problem_mark else 1
        raise ConfigError(f"{path.name} line {line} is not YAML: {error.problem}") from None
    if root is None:
        return Declared(())
    if not isinstance(root, yaml.MappingNode) or not isinstance(declared, dict):
        raise ConfigError(f"{path.name} line 1: a mapping of stream names is expected, as in 'my_stream:'")
    refuse_duplicate_keys(path, root)
    streams, waiting = [], []
    context = {FOLDER: project or path.parent, SETTINGS: settings}
    for name, body in declared.items():
        try:
            if isinstance(body, dict) and "name" in body:
                line = line_of(root, (name, "name"))
                raise ConfigError(f"{path.name} line {line}: a stream's name is its key; remove 'name'")
            body = body | {"name": str(name)} if isinstance(body, dict) else body
            streams.append(Stream.model_validate(body, context=context))
        except ValidationError as error:
            raise _config_error(path, root, str(name), body, error) from None
        except FormatUnavailable as error:
            _refuse_other_mistakes(path, root, str(name), body, context)
            place = f"{path.name} line {line_of(root, (name, 'format'))}, stream '{name}'"
            waiting.append(Waiting(str(name), f"{place}: {error}"))
    return Declared(tuple(streams), tuple(waiting))


def declared_names(path: Path) -> frozenset[str]:
    """The names that a file declares, also of streams that cannot be used; none of a file that is not one."""
    try:
        declared = yaml.safe_load(path.read_text(encoding="utf-8"))
    except (OSError, UnicodeDecodeError, yaml.YAMLError):
        return frozenset()
    return frozenset(map(str, declared)) if isinstance(declared, dict) else frozenset()


def _refuse_other_mistakes(
    path: Path, root: yaml.Node, name: str, body: Mapping[str, Any], context: Mapping[str, Any]
) -> None:
    """Mistakes of a stream whose fields are not known; what names a field cannot be judged yet."""
    try:
        Stream.model_validate({**body, "fields": {}}, context=dict(context))
    except ValidationError as error:
        if any(each["loc"] for each in error.errors(include_url=False)):
            raise _config_error(path, root, name, body, error) from None


def _config_error(path: Path, root: yaml.Node, stream: str, body: Any, error: ValidationError) -> ConfigError:
    """The likeliest problem (a misspelt key before what it leaves missing) with its line."""
    problems = error.errors(include_url=False)
    problem = next((each for each in problems if each["type"] == "extra_forbidden"), problems[0])
    location = problem["loc"]
    message = str(problem["msg"]).removeprefix("Value error, ")
    if len(message) > _MESSAGE_CHARACTERS:
        half = _MESSAGE_CHARACTERS // 2
        message = f"{message[:half]} … {message[-half:]}"
    if problem["type"] == "extra_forbidden":
        message = f"unknown key '{location[-1]}'{suggest(str(location[-1]), _known_keys(location, body))}"
    elif location and problem["type"] not in ("value_error", "source_kind", "format_kind"):
        message = f"{'.'.join(map(str, location))}: {message[0].lower()}{message[1:]}"
    return ConfigError(f"{path.name} line {line_of(root, (stream, *location))}, stream '{stream}': {message}")


def _known_keys(location: tuple[int | str, ...], body: Mapping[str, Any]) -> list[str]:
    """The keys that may stand where an unknown one does; of a source, those of its kind."""
    if location[0] == "fields":
        return list(FieldSpec.model_fields)
    if location[0] == "sequence":
        return list(SequenceSpec.model_fields)
    if location[0] in ("format", "key"):
        return option_names(find_format(next(iter(body[str(location[0])]))).options)
    models: list[type[BaseModel]] = [Stream]
    if location[0] == "source":
        models = [each.spec for each in connectors() if each.kind in body["source"]]
    return sorted({key for model in models for key in model.model_fields} - {"name"})
