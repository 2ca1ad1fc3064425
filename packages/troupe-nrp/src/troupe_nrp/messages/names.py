"""The classes that a message has in functions: itself, its datapack and its raw data."""

from __future__ import annotations

from typing import Any

from google.protobuf import descriptor_pool, message_factory

from troupe_nrp.messages.definitions import PACKAGES
from troupe_nrp.messages.modules import classes
from troupe_nrp.packs import MessageRawData, message_pack_class

_SUFFIXES = ("DataPack", "RawData", "")


def exported() -> dict[str, Any]:
    """Return all classes by name, e.g. ``DumpStringDataPack`` and ``DumpString``."""
    found: dict[str, Any] = {}
    for package, messages in PACKAGES.items():
        for message in messages:
            found |= of_message(classes(package)[message])
    return found


def of_message(message: Any) -> dict[str, Any]:
    """Return the classes of one message class, by name."""
    name = "".join(p[:1].upper() + p[1:] for p in message.DESCRIPTOR.full_name.split("."))
    raw = type(f"{name}RawData", (MessageRawData,), {"message": message})
    return {f"{name}DataPack": message_pack_class(message), f"{name}RawData": raw, name: message}


def find(name: str) -> Any:
    """Return a class of a message that a user's own module defines.

    Raises:
        AttributeError: if no imported module defines such a message.
    """
    pool = descriptor_pool.Default()
    for suffix in _SUFFIXES:
        stem = name.removesuffix(suffix) if suffix else name
        if suffix and stem == name:
            continue
        for split in range(1, len(stem)):
            try:
                descriptor = pool.FindMessageTypeByName(f"{stem[:split]}.{stem[split:]}")
            except KeyError:
                continue
            return of_message(message_factory.GetMessageClass(descriptor))[name]
    raise AttributeError(f"no imported module defines a message for '{name}'")
