"""Descriptor sets, as `protoc --descriptor_set_out` and `buf build -o` write them → message classes.

https://protobuf.dev/programming-guides/techniques/#self-description
"""

from collections.abc import Iterable
from functools import lru_cache
from typing import Any

_KEPT = 64


class DescriptorsRefused(ValueError):
    """The bytes are not descriptors that can be used; the message says why."""


@lru_cache(maxsize=_KEPT)
def message_class(descriptors: bytes, name: str | None) -> Any:
    """The class of a message.

    Args:
        descriptors: A serialized FileDescriptorSet.
        name: The message's full name, as in plant.v1.Reading; None where the last file has only one.

    Raises:
        DescriptorsRefused: They are none, a file that they import is missing, or there is no such message.
    """
    from google.protobuf import message_factory

    pool, files = _pool(descriptors)
    if name is None:
        names = [message.full_name for message in files[-1].message_types_by_name.values()] if files else []
        if len(names) != 1:
            raise DescriptorsRefused(
                f"it has {len(names)} messages: name one, as in 'message: {_example(names)}'"
            )
        name = names[0]
    try:
        found = pool.FindMessageTypeByName(name)
    except KeyError:
        known = sorted(each.full_name for file in files for each in file.message_types_by_name.values())
        raise DescriptorsRefused(
            f"it has no message '{name}', only {', '.join(known[:10]) or 'none'}"
        ) from None
    return message_factory.GetMessageClass(found)


def _pool(descriptors: bytes) -> tuple[Any, list[Any]]:
    from google.protobuf import descriptor_pb2, descriptor_pool
    from google.protobuf.message import DecodeError

    try:
        found = descriptor_pb2.FileDescriptorSet.FromString(descriptors)
    except DecodeError:
        raise DescriptorsRefused("it is not a descriptor set") from None
    if not found.file:
        raise DescriptorsRefused("it holds no descriptors")
    pool = descriptor_pool.DescriptorPool()
    given = {file.name for file in found.file}
    imported = {each for file in found.file for each in file.dependency}
    for own in _well_known(imported - given):
        pool.Add(own)
    try:
        for file in found.file:
            pool.Add(file)
        return pool, [pool.FindFileByName(file.name) for file in found.file]
    except (KeyError, TypeError, ValueError) as error:
        missing = sorted(imported - given)
        hint = f"; it imports {', '.join(missing)}, so write it with --include_imports" if missing else ""
        raise DescriptorsRefused(f"its files do not fit together: {error}{hint}") from None


def _well_known(names: Iterable[str]) -> list[Any]:
    """Google's own files, which a set need not hold."""
    from google.protobuf import (  # noqa: F401 — importing them puts them into the default pool
        any_pb2,
        api_pb2,
        descriptor_pb2,
        descriptor_pool,
        duration_pb2,
        empty_pb2,
        field_mask_pb2,
        source_context_pb2,
        struct_pb2,
        timestamp_pb2,
        type_pb2,
        wrappers_pb2,
    )

    found = dict[str, Any]()

    def add(name: str) -> None:
        if name in found or not name.startswith("google/protobuf/"):
            return
        try:
            described = descriptor_pool.Default().FindFileByName(name)
        except KeyError:
            return
        for other in described.dependencies:
            add(other.name)
        file = descriptor_pb2.FileDescriptorProto()
        described.CopyToProto(file)
        found[name] = file

    for name in sorted(names):
        add(name)
    return list(found.values())


def _example(names: list[str]) -> str:
    return names[0] if names else "plant.v1.Reading"
