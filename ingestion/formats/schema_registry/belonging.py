"""Which registry the schemas of a data folder are those of: ids are unique within one registry only.

The folder notes the addresses. At addresses that share none with them, some schemas are compared first.
"""

from collections.abc import Callable
from typing import Any

from ingestion.errors import FormatUnavailable
from ingestion.formats.schema_registry.kept import Kept
from ingestion.formats.schema_registry.refilled import IDS, differs

_NOTE = "registry"
_MOST_COMPARED = 20


def confirm(kept: Kept, urls: tuple[str, ...], ask: Callable[[str], dict[str, Any] | None]) -> None:
    """Make sure that what is kept is what the registry at some addresses would answer; note its addresses.

    Args:
        kept: The answers in the data folder.
        urls: The addresses that are configured; none: what is kept goes on being used.
        ask: The registry's answer for an id, as it is kept; None where it does not know the id.

    Raises:
        FormatUnavailable: It is another registry, or it does not answer while its addresses are new.
    """
    noted = (kept.read(_NOTE) or {}).get("urls") or []
    if urls and noted and not set(urls) & set(noted):
        _compare(kept, ", ".join(noted), ", ".join(urls), ask)
    if urls:
        kept.write(_NOTE, answer={"urls": sorted(urls)})


def _compare(kept: Kept, before: str, now: str, ask: Callable[[str], dict[str, Any] | None]) -> None:
    """The newest ids say whether two registries are the same one under another address."""
    ids = kept.names(IDS)[-_MOST_COMPARED:]
    remedy = (
        f"correct MILLRACE_SCHEMA_REGISTRY_URL, use a data folder of its own for {now}, or, if raw has no "
        f"event of {before}, delete {kept.folder}; nothing is rejected until then"
    )
    known = 0
    for name in ids:
        ours, theirs = kept.read(IDS, name), ask(name)
        if ours is None or theirs is None:
            continue
        known += 1
        if differs(ours, theirs):
            raise FormatUnavailable(
                f"{now} is another schema registry than {before}, whose schemas the data folder has: it has "
                f"another schema with id {name}. Events would be read by wrong schemas: {remedy}"
            )
    if ids and not known:
        raise FormatUnavailable(
            f"{now} is another schema registry than {before}, whose schemas the data folder has: it knows "
            f"none of them. Events would be read by wrong schemas: {remedy}"
        )
