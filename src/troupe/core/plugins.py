"""Types found by name, the built-in and the users' own alike.

A distribution offers a type through an entry point, e.g. in the group ``troupe.robots``. Names
are resolved once, where a description is read; inside the code objects are passed.
"""

from __future__ import annotations

from functools import cache
from importlib.metadata import EntryPoint, entry_points
from typing import Any

from troupe.core.errors import UserError, unknown


@cache
def _points(group: str) -> dict[str, EntryPoint]:
    return {point.name: point for point in entry_points(group=group)}


def names(group: str) -> tuple[str, ...]:
    """Return the names that a group offers, sorted."""
    return tuple(sorted(_points(group)))


def load(group: str, name: str, where: str = "") -> Any:
    """Return the object that a group offers under a name.

    Args:
        group: e.g. "troupe.robots".
        name: the type name that the user wrote.
        where: the place in the user's input, for the message.

    Raises:
        UserError: if there is no such name, or its package cannot be imported.
    """
    points = _points(group)
    if name not in points:
        kind = group.removeprefix("troupe.").removesuffix("s")
        raise unknown(kind, name, points, where)
    try:
        return points[name].load()
    except ImportError as error:
        raise UserError(f"{where or group}: '{name}' cannot be imported: {error}") from error
