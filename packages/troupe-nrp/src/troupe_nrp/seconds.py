"""Times of the configuration: JSON numbers of seconds, as exact nanoseconds."""

from __future__ import annotations

from decimal import Decimal
from typing import Annotated, Any

from pydantic import BeforeValidator


def nanoseconds(seconds: float | int | str) -> int:
    """Return the nearest whole nanoseconds of a number of seconds, by its decimal text."""
    return int((Decimal(str(seconds)) * 10**9).to_integral_value())


def seconds(value: float) -> Any:
    """Return a default of a setting below, which is validated as what users write."""
    return value


def _seconds(value: Any) -> int:
    if isinstance(value, bool) or not isinstance(value, int | float):
        raise ValueError(f"give a number of seconds, not {value!r}")
    if value != value or abs(value) > 9e9:
        raise ValueError(f"give a finite number of seconds, not {value!r}")
    return nanoseconds(value)


def _positive(value: Any) -> int:
    duration_ns = _seconds(value)
    if duration_ns <= 0:
        raise ValueError(f"give a number of seconds above 0, not {value!r}")
    return duration_ns


Seconds = Annotated[int, BeforeValidator(_seconds)]
"""Nanoseconds, written as a number of seconds; 0 or less often means none."""

PositiveSeconds = Annotated[int, BeforeValidator(_positive)]
"""Nanoseconds, written as a number of seconds above 0."""
