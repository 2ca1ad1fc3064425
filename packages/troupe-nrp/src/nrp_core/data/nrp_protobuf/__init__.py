"""Datapacks of protobuf messages, e.g. ``DumpStringDataPack``, and the modules of the messages.

A message of a module of the user's own has its classes here once that module is imported.
"""

from typing import Any

from troupe_nrp.messages.modules import add_modules
from troupe_nrp.messages.names import exported, find

add_modules(__name__)
_exported = exported()
globals().update(_exported)

__all__ = [*_exported]  # noqa: PLE0604 - names of classes


def __getattr__(name: str) -> Any:
    """Return a class of a message of the user's own."""
    if name.startswith("_"):
        raise AttributeError(name)
    return find(name)
