"""What becomes of attempts: what is held for how long, how far it slips, what it takes."""

from __future__ import annotations

import numpy as np
import numpy.typing as npt

from troupe.core import World
from troupe.core.arrays import Array, Ids
from troupe.tasks.base import Bools

CLOSED_ON_NOTHING_M = 0.001
"""A finger that gets so near the middle holds nothing."""

COMES_ALONG_M = 0.03
"""How far a thing is above the floor, at least, when it is lifted with the hand."""


class Held:
    """Follows how long each thing has been lifted without a break."""

    def __init__(self, world: World, places: int, lifted_m: float, hold_s: float) -> None:
        """Add an array to a world, ``tray_held``, (N, K), s.

        Args:
            world: with things in trays.
            places: how many things there are, K.
            lifted_m: height over the floor from which a thing counts as lifted.
            hold_s: after which it counts as held.
        """
        self._lifted_m, self._hold_s = lifted_m, hold_s
        world.arrays["tray_held"] = np.zeros((world.num_instances, places))

    def reset(self, world: World, instances: Ids) -> None:
        """Nothing is held when an episode begins."""
        world.arrays["tray_held"][instances] = 0

    def follow(self, world: World, heights: Array, is_up: Bools, step_s: float) -> None:
        """Count a step.

        Args:
            world: that has the array.
            heights: of the things, (N, K), m.
            is_up: where a thing may count as lifted, (N,).
            step_s: duration of the step.
        """
        held = world.arrays["tray_held"]
        is_lifted = (heights > self._lifted_m) & is_up[:, None]
        held[...] = np.where(is_lifted, held + step_s, 0.0)

    def longest(self, world: World) -> tuple[npt.NDArray[np.int64], Array]:
        """Return which thing has been held the longest, (N,), and for how long, (N,), s."""
        held = world.arrays["tray_held"]
        best = held.argmax(axis=1)
        return best, held[np.arange(len(held)), best]

    def succeeded(self, world: World) -> Bools:
        """Return where a thing has been held for long enough, (N,)."""
        done: Bools = world.arrays["tray_held"].max(axis=1) >= self._hold_s - 1e-9
        return done
