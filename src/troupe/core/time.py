"""Simulated time: integer nanoseconds, written by users with a unit ("20ms")."""

from __future__ import annotations

import re
from fractions import Fraction

from troupe.core.errors import UserError

NANOSECONDS = {"ns": 1, "us": 10**3, "ms": 10**6, "s": 10**9, "min": 60 * 10**9, "h": 3600 * 10**9}

_DURATION = re.compile(r"\s*([0-9]+(?:\.[0-9]+)?(?:e-?[0-9]+)?)(?:/([0-9]+))?\s*([a-z]+)\s*")


def exact_duration(text: str) -> Fraction:
    """Return a written duration in nanoseconds, exactly.

    A quotient is allowed, so that a step of 1/240 s stays exact.

    Args:
        text: a number with a unit: "20ms", "0.5s", "1/240s".

    Raises:
        UserError: if the text is not a number with one of the units.
    """
    match = _DURATION.fullmatch(text)
    if match is None or match[3] not in NANOSECONDS or match[2] == "0":
        units = ", ".join(NANOSECONDS)
        raise UserError(f"'{text}' is not a duration: write a number and a unit ({units}).")
    return Fraction(match[1]) / int(match[2] or 1) * NANOSECONDS[match[3]]


def parse_duration(text: str) -> int:
    """Return a written duration in whole nanoseconds, the nearest to the exact value.

    Raises:
        UserError: if the text is not a number with one of the units.
    """
    return round(exact_duration(text))


def format_duration(duration_ns: int) -> str:
    """Return the shortest exact text of a duration, e.g. "20ms"."""
    for unit in ("h", "min", "s", "ms", "us"):
        if duration_ns and duration_ns % NANOSECONDS[unit] == 0:
            return f"{duration_ns // NANOSECONDS[unit]}{unit}"
    return f"{duration_ns}ns"
