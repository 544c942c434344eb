"""Where something stands in a YAML file, for errors that name the line."""

from pathlib import Path

import yaml

from ingestion.errors import ConfigError


def line_of(root: yaml.Node, location: tuple[int | str, ...]) -> int:
    """1-based line of the deepest part of a location that the file has."""
    node, line = root, root.start_mark.line + 1
    for part in location:
        if isinstance(node, yaml.MappingNode):
            match = next((pair for pair in node.value if pair[0].value == str(part)), None)
        elif isinstance(node, yaml.SequenceNode) and isinstance(part, int) and part < len(node.value):
            match = (node.value[part], node.value[part])
        else:
            match = None
        if match is None:
            break
        line, node = match[0].start_mark.line + 1, match[1]
    return line


def refuse_duplicate_keys(path: Path, node: yaml.Node) -> None:
    """YAML silently keeps the last of two equal keys; what the first one declares would vanish.

    Raises:
        ConfigError: With both lines.
    """
    if not isinstance(node, yaml.MappingNode):
        return
    seen: dict[str, int] = {}
    for key, value in node.value:
        line = key.start_mark.line + 1
        if key.value in seen:
            raise ConfigError(
                f"{path.name} line {line}: '{key.value}' stands already on line {seen[key.value]}; remove one"
            )
        seen[key.value] = line
        refuse_duplicate_keys(path, value)
