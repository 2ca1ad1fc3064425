"""JSON values: as plain copies, and as the object that users see."""

from __future__ import annotations

import json
from collections.abc import Iterator, Mapping
from typing import Any

import numpy as np


def plain(value: Any) -> Any:
    """Return a copy of a value as JSON has it: dicts, lists, text, numbers, bools and None.

    Raises:
        TypeError: if the value holds anything else.
    """
    if value is None or isinstance(value, bool | int | float | str):
        return value
    if isinstance(value, np.ndarray | np.generic):
        return plain(value.tolist())
    if isinstance(value, NlohmannJson):
        return plain(value.value)
    if isinstance(value, Mapping):
        return {str(key): plain(inner) for key, inner in value.items()}
    if isinstance(value, list | tuple | set):
        return [plain(inner) for inner in value]
    raise TypeError(f"{type(value).__name__} is not JSON: {value!r}")


class NlohmannJson:
    """A JSON value that begins empty: it behaves as a dict or, once appended to, as a list.

    Attributes:
        value: the plain value.
    """

    def __init__(self, value: Any = None) -> None:
        """Hold a value, by default an empty one."""
        self.value = plain(value)

    def __getitem__(self, key: Any) -> Any:
        """Return a member or element."""
        if self.value is None:
            raise KeyError(key)
        return self.value[key]

    def __setitem__(self, key: Any, value: Any) -> None:
        """Set a member, which makes an empty value an object, or an element."""
        if self.value is None and isinstance(key, str):
            self.value = {}
        if isinstance(self.value, dict) != isinstance(key, str):
            raise TypeError(f"an {self.json_type()} has no item {key!r}")
        self.value[key] = plain(value)

    def __delitem__(self, key: Any) -> None:
        """Remove a member or element."""
        del self.value[key]

    def __contains__(self, key: object) -> bool:
        """Return whether there is such a member or element."""
        return self.value is not None and key in self.value

    def __iter__(self) -> Iterator[Any]:
        """Iterate over keys or elements."""
        return iter(() if self.value is None else self.value)

    def __len__(self) -> int:
        """Return the number of members or elements."""
        return 0 if self.value is None else len(self.value)

    def __eq__(self, other: object) -> bool:
        """Compare with another value, plain or not."""
        other_value = other.value if isinstance(other, NlohmannJson) else other
        return bool(self.value == other_value) or (self.value is None and other_value == {})

    __hash__ = None  # type: ignore[assignment] # it can change

    def append(self, value: Any) -> None:
        """Add an element, which makes an empty value an array."""
        if self.value is None:
            self.value = []
        if not isinstance(self.value, list):
            raise TypeError(f"an {self.json_type()} cannot be appended to")
        self.value.append(plain(value))

    def keys(self) -> list[str]:
        """Return the members' names."""
        return list(self._object("keys"))

    def values(self) -> list[Any]:
        """Return the members' values."""
        return list(self._object("values").values())

    def items(self) -> list[tuple[str, Any]]:
        """Return the members."""
        return list(self._object("items").items())

    def get(self, key: str, default: Any = None) -> Any:
        """Return a member's value, or a default if there is none."""
        return self._object("get").get(key, default)

    def update(self, members: Mapping[str, Any]) -> None:
        """Set several members."""
        for key, value in members.items():
            self[key] = value

    def json_type(self) -> str:
        """Return what JSON calls the value: null, object, array, string, number or boolean."""
        if isinstance(self.value, bool):
            return "boolean"
        types = {dict: "object", list: "array", str: "string", int: "number", float: "number"}
        return types.get(type(self.value), "null")

    def __str__(self) -> str:
        """Return the value as JSON text, as NRP-core writes it: compact, with sorted keys."""
        return json.dumps(self.value, ensure_ascii=False, separators=(",", ":"), sort_keys=True)

    __repr__ = __str__

    def _object(self, what: str) -> dict[str, Any]:
        if self.value is None:
            return {}
        if not isinstance(self.value, dict):
            raise TypeError(f"an {self.json_type()} has no {what}")
        return self.value
