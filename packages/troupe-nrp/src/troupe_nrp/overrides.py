"""Changes of a configuration, given on the command line."""

from __future__ import annotations

import json
import re
from typing import Any

from troupe.core.errors import UserError, unknown

BETWEEN_PAIRS = re.compile(r",(?=[A-Za-z_]\w*(?:\.[^,=]+)*=)")
"""A comma before another key; other commas are part of a value."""


def apply_override(values: dict[str, Any], override: str) -> None:
    """Change values of a configuration.

    Args:
        values: of the configuration.
        override: "Key.Sub=value", or several of them between commas; a value is JSON or plain
            text, and an entry of a list is given by its name or number.

    Raises:
        UserError: if there is no such place.
    """
    for pair in _pairs(override):
        _apply(values, pair)


def _pairs(override: str) -> list[str]:
    _, _, text = override.partition("=")
    return [override] if _is_json(text) else BETWEEN_PAIRS.split(override)


def _is_json(text: str) -> bool:
    try:
        json.loads(text)
    except ValueError:
        return False
    return True


def _apply(values: dict[str, Any], override: str) -> None:
    key, separator, text = override.partition("=")
    if not separator or not key:
        raise UserError(f"override '{override}': write Key=value, e.g. SimulationTimeout=2.")
    *path, last = key.strip().split(".")
    place: Any = values
    for step in path:
        place = _inside(place, step, override)
    if isinstance(place, list):
        place[_index(place, last, override)] = _value(text)
    elif isinstance(place, dict):
        place[last] = _value(text)
    else:
        raise UserError(f"override '{override}': there is nothing below '{path[-1]}'.")


def _inside(place: Any, step: str, override: str) -> Any:
    if isinstance(place, list):
        return place[_index(place, step, override)]
    if isinstance(place, dict):
        return place.setdefault(step, {})
    raise UserError(f"override '{override}': there is nothing below '{step}'.")


def _index(place: list[Any], step: str, override: str) -> int:
    names = [e.get("EngineName", e.get("Name")) if isinstance(e, dict) else None for e in place]
    if step in names:
        return names.index(step)
    if step.isdigit() and int(step) < len(place):
        return int(step)
    valid = [str(name) for name in names if name] + [str(i) for i in range(len(place))]
    raise unknown("entry", step, valid, f"override '{override}'")


def _value(text: str) -> Any:
    try:
        return json.loads(text)
    except ValueError:
        return text
