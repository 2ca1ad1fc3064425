"""Values on their way between engines and functions: JSON, with messages as their bytes."""

from __future__ import annotations

import base64
from functools import cache
from typing import Any

from google.protobuf import descriptor_pool, message_factory
from google.protobuf.message import Message

from troupe_nrp.json_data import plain
from troupe_nrp.messages.definitions import PACKAGES
from troupe_nrp.messages.modules import classes

TYPE = "protobuf"
CONTENT = "base64"


def is_message(travelled: Any) -> bool:
    """Return whether a value that travels is a message."""
    return isinstance(travelled, dict) and travelled.keys() == {TYPE, CONTENT}


def to_travel(value: Any) -> Any:
    """Return a copy of JSON or a message that can travel, and be recorded.

    Raises:
        TypeError: if it is neither.
    """
    if isinstance(value, Message):
        content = base64.b64encode(value.SerializeToString()).decode()
        return {TYPE: value.DESCRIPTOR.full_name, CONTENT: content}
    return plain(value)


def from_travel(travelled: Any) -> Any:
    """Return a copy of the JSON or the message.

    Raises:
        KeyError: if this process has not imported the message's module.
    """
    if not is_message(travelled):
        return plain(travelled)
    message = _message_class(travelled[TYPE])()
    message.ParseFromString(base64.b64decode(travelled[CONTENT]))
    return message


@cache
def _message_class(name: str) -> Any:
    package = name.partition(".")[0]
    if package in PACKAGES:
        classes(package)  # which only functions, or only engines, may have imported
    descriptor = descriptor_pool.Default().FindMessageTypeByName(name)
    return message_factory.GetMessageClass(descriptor)
