"""Which elements of XML documents come several times, as the options that keep them arrays for ever.

An element that came twice today comes once tomorrow: without a word it would be an object then.
"""

from collections.abc import Iterator, Mapping, Sequence
from typing import Any


def arrays_of(documents: Sequence[Any]) -> Mapping[str, Any]:
    """`record` or `arrays` of some documents; empty where no element comes several times.

    Args:
        documents: Payloads of whole documents, made without options.
    """
    several = list(dict.fromkeys(path for document in documents for path in _arrays(document, ())))
    if (
        len(several) == 1
        and len(several[0]) == 2
        and all(_is_list_of(each, several[0]) for each in documents)
    ):
        return {"record": "/".join(several[0])}
    return {"arrays": ["/".join(path[-2:]) for path in several]} if several else {}


def _arrays(value: Any, path: tuple[str, ...]) -> Iterator[tuple[str, ...]]:
    """Paths of elements that come several times."""
    if isinstance(value, list):
        if path and not path[-1].startswith("#"):
            yield path
        for each in value:
            yield from _arrays(each, path) if isinstance(each, dict) else ()
    elif isinstance(value, dict):
        for name, inner in value.items():
            yield from _arrays(inner, (*path, name))


def _is_list_of(document: Any, path: tuple[str, ...]) -> bool:
    """Whether a document is a root that holds such elements and nothing else."""
    ((root, inside),) = document.items()
    return root == path[0] and isinstance(inside, dict) and set(inside) == {path[1]}
