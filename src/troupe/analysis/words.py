"""Numbers as people read them."""

from __future__ import annotations

import math
from collections.abc import Callable

from troupe.analysis.measures import Spread

NOTHING = "–"
MINUS = "\u2212"

Format = Callable[[float], str]


def count(value: float) -> str:
    """Return a whole number, e.g. "1,500,000"."""
    return f"{round(value):,}"


def figure(value: float) -> str:
    """Return a number with three figures, e.g. "0.0512", "1.37", "54,100"."""
    if value == 0 or not math.isfinite(value):
        return f"{value:g}"
    digits = max(0, 2 - math.floor(math.log10(abs(value))))
    return f"{value:,.{digits}f}".replace("-", MINUS)


def millimetres(value: float) -> str:
    """Return a length in mm without its unit, e.g. "26.1", "1.37", "0.05", "0.016"."""
    if 0.095 <= value < 9.95:
        return f"{value:.2f}".removesuffix(".00")
    return f"{value:.1f}" if value >= 9.95 else f"{value:.2g}"


def percent(share: float) -> str:
    """Return a share of 1, e.g. "99.5 %"; 100 % only if it is all."""
    shown = f"{100 * share:.1f}".removesuffix(".0")
    return "99.9 %" if shown == "100" and share < 1 else f"{shown} %"


def duration(seconds: float) -> str:
    """Return a time, e.g. "0.85 s", "28.3 s", "5 min 12 s", "2 h 5 min"."""
    if seconds < 120:
        return f"{figure(seconds)} s"
    minutes, rest_s = divmod(round(seconds), 60)
    if minutes < 120:
        return f"{minutes} min {rest_s} s" if rest_s else f"{minutes} min"
    hours, rest_min = divmod(minutes, 60)
    return f"{hours:,} h {rest_min} min" if rest_min else f"{hours:,} h"


def shown(spread: Spread | None, form: Format = figure) -> str:
    """Return the median of a figure and, if they differ, its least and greatest value."""
    if spread is None:
        return NOTHING
    low, high = form(spread.low), form(spread.high)
    if low == high:
        return form(spread.median)
    number, _, unit = low.partition(" ")
    if high.partition(" ")[2] == unit and " " not in unit:
        low = number
    return f"{form(spread.median)} ({low}–{high})"


def joined(words: list[str]) -> str:
    """Return words as a list in a sentence: "a, b and c"."""
    return " and ".join(filter(None, [", ".join(words[:-1]), words[-1]])) if words else ""
