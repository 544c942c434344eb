"""Putting definitions in place of the product's own, for build_defs: by asset key, or by name.

It builds nothing. Every override must replace something, so that a misspelt one is not silently ignored.
"""

from collections.abc import Callable, Iterable, Mapping, Sequence, Set
from typing import TypeVar

from dagster import AssetKey, AssetsDefinition, AssetSpec

T = TypeVar("T")
Asset = AssetsDefinition | AssetSpec


def by_name(
    kind: str, known: Sequence[T], overrides: Mapping[str, T] | None, *, name: Callable[[T], str]
) -> dict[str, T]:
    """Replace definitions by name.

    Args:
        kind: What they are, for the error: "job".
        known: The product's own definitions.
        overrides: Name → the definition to put in its place.
        name: The name of a definition.

    Returns:
        Name → definition, in the order of `known`.

    Raises:
        ValueError: An override is for a name that is not known, or has another name itself.
    """
    overrides, product = overrides or {}, {name(definition): definition for definition in known}
    require_known(kind, overrides, product)
    for wanted, definition in overrides.items():
        if name(definition) != wanted:
            raise ValueError(f"the override of {kind} {wanted} is named {name(definition)}: name it {wanted}")
    return product | dict(overrides)


def by_key(known: Sequence[Asset], overrides: Mapping[AssetKey, Asset] | None) -> list[Asset]:
    """Replace assets by key; a definition of several assets gives up only those that are named.

    Args:
        known: The product's own definitions.
        overrides: Key → the definition to put in its place; one of several assets is named once for each.

    Raises:
        ValueError: An override has a key that is not known, or does not define the key it is named for.
    """
    overrides = overrides or {}
    keys = {key.to_user_string() for definition in known for key in _keys(definition)}
    require_known("asset", [key.to_user_string() for key in overrides], keys)
    for key, definition in overrides.items():
        if key not in _keys(definition):
            defined = ", ".join(sorted(each.to_user_string() for each in _keys(definition)))
            raise ValueError(
                f"the override of asset {key.to_user_string()} defines {defined}: give it the same key"
            )
    kept = [left for definition in known if (left := _without(definition, overrides.keys())) is not None]
    # One definition may stand for several keys; it goes in once.
    return [*kept, *{id(definition): definition for definition in overrides.values()}.values()]


def require_known(kind: str, names: Iterable[str], known: Iterable[str]) -> None:
    """Raise ValueError, which lists what is known, for names that override nothing."""
    known = sorted(known)
    unknown = sorted(set(names) - set(known))
    if unknown:
        raise ValueError(f"there is no {kind} {', '.join(unknown)} to override; known are {', '.join(known)}")


def _keys(definition: Asset) -> frozenset[AssetKey]:
    return frozenset({definition.key} if isinstance(definition, AssetSpec) else definition.keys)


def _without(definition: Asset, taken: Set[AssetKey]) -> Asset | None:
    left = _keys(definition) - taken
    if left == _keys(definition):
        return definition
    if not left or isinstance(definition, AssetSpec):
        return None
    return definition.subset_for(left, selected_asset_check_keys=None)
