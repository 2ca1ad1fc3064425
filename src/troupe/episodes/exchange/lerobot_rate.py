"""The frames a second of a LeRobotDataset: one rate, which all its episodes have in common."""

from __future__ import annotations

import math

import numpy as np
import numpy.typing as npt

from troupe.core.errors import UserError
from troupe.core.time import NANOSECONDS
from troupe.episodes.exchange.selection import Selection
from troupe.episodes.store import EpisodeRecord
from troupe.episodes.store.table import flat_values

TIME = "time_ns"
"""The array of steps that says it."""
ROUNDED_NS = 1.0
"""By how much times in whole ns may differ from those that are meant."""
SAME_RATE = 1e-6
"""By which part two rates may differ and still be meant as one."""


def check_rate(fps: float) -> None:
    """Check what a user gives as a rate.

    Raises:
        UserError: if there is no such one.
    """
    if not 0 < fps < math.inf:
        raise UserError(f"--fps: {fps:g} frames a second are none: give more than 0.")


def rate_of(selection: Selection) -> float:
    """Return the frames a second of the first episode that has two steps.

    Raises:
        UserError: if its steps are not evenly apart, or no episode says how far they are.
    """
    if TIME in selection.store.schema.steps:
        for row in selection.rows():
            times = flat_values(row[f"step.{TIME}"], ())
            if len(times) > 1:
                return _even_rate(row["id"][0].as_py(), times)
    raise UserError(
        f"no episode of store '{selection.store.url}' says by {TIME} how far its steps are apart: "
        "give --fps."
    )


def check_same_rate(record: EpisodeRecord, fps: float) -> None:
    """Check that an episode has the rate of the data set, as far as it says one.

    Raises:
        UserError: if it has another.
    """
    times = record.steps.get(TIME)
    if times is None or len(times) < 2:
        return
    found = _even_rate(record.id, times)
    if not math.isclose(fps, found, rel_tol=SAME_RATE):
        raise UserError(
            f"episode '{record.id}' has {found:g} steps a second, not {fps:g}; a "
            "LeRobotDataset has one rate: choose episodes by --where, leave --fps out."
        )


def _even_rate(id: str, times: npt.NDArray[np.int64]) -> float:
    """Return how many steps there are in a second; a whole number if rounding to ns hides one.

    Raises:
        UserError: if they are not evenly apart.
    """
    step_ns = float(times[-1] - times[0]) / (len(times) - 1)
    even = times[0] + step_ns * np.arange(len(times))
    if step_ns <= 0 or np.abs(times - even).max() > ROUNDED_NS:
        raise UserError(
            f"episode '{id}': its steps are not evenly apart in time_ns, as LeRobot's frames are."
        )
    rate = NANOSECONDS["s"] / step_ns
    whole = float(round(rate))
    is_whole = whole > 0 and abs(step_ns - NANOSECONDS["s"] / whole) <= ROUNDED_NS
    return whole if is_whole else rate
