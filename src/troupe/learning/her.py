"""Hindsight: learning from steps as if what was achieved later had been the goal all along.

Andrychowicz et al., 2017, strategy "future" (docs/derivations-sac.md, "Hindsight").
"""

from __future__ import annotations

import numpy as np
import numpy.typing as npt

from troupe.core.goals import Goals
from troupe.core.seeding import Generator
from troupe.learning.replay import Drawn, Replay
from troupe.learning.replay_ring import Numbers, Records, Ring

Keys = npt.NDArray[np.complex128]
"""Of steps: the episode, and as imaginary part the time in it; numpy orders by these in turn."""


class EpisodeIndex:
    """Finds the steps of a ring by episode: keys in order, each with the number of its record."""

    def __init__(self, ring: Ring) -> None:
        """Index nothing yet."""
        self._ring = ring
        self._seen = 0
        self._keys: Keys = np.empty(0, np.complex128)
        self._numbers = np.empty(0, np.int64)

    def refresh(self) -> None:
        """Take up new records and forget those that are overwritten."""
        ring = self._ring
        oldest, count = ring.oldest, ring.count
        records, whole = ring.read(np.arange(max(oldest, self._seen), count))
        fresh = np.arange(count - len(records), count)[whole]
        keys = _keys(records[whole])
        order = keys.argsort(kind="stable")
        there = self._numbers >= oldest
        kept_keys, kept_numbers = self._keys[there], self._numbers[there]
        at = np.searchsorted(kept_keys, keys[order])
        self._keys = np.insert(kept_keys, at, keys[order])
        self._numbers = np.insert(kept_numbers, at, fresh[order])
        self._seen = count

    def later(self, rng: Generator, records: Records) -> Numbers:
        """Return for each step the number of itself or a later one of its episode, (B,).

        It is -1 for a step that came after the last `refresh`.
        """
        own = np.searchsorted(self._keys, _keys(records))
        end = np.searchsorted(self._keys, records["episode"] + 1.0 + 0.0j)
        is_known = own < end
        chosen = rng.integers(own, np.where(is_known, end, own + 1))
        chosen[is_known] = self._numbers[chosen[is_known]]
        chosen[~is_known] = -1
        return chosen


class Hindsight:
    """Relabels a share of the steps that were drawn."""

    def __init__(self, replay: Replay, goals: Goals, relabelled: int) -> None:
        """Relabel `relabelled` steps for each that stays as it was."""
        self._replay = replay
        self._goals = goals
        self._share = relabelled / (relabelled + 1)
        self._indices: list[EpisodeIndex] = []

    def refresh(self) -> None:
        """Take up what is new in the replay."""
        known = len(self._indices)
        self._indices += [EpisodeIndex(ring) for ring in self._replay.rings[known:]]
        for index in self._indices:
            index.refresh()

    def forget(self) -> None:
        """Forget what the replay held, since other content has taken its place."""
        self._indices = []

    def relabel(self, rng: Generator, drawn: Drawn) -> npt.NDArray[np.bool_]:
        """Change a random share of drawn steps in place, and return which."""
        chosen = rng.random(len(drawn.records)) < self._share
        for i, index in enumerate(self._indices):
            rows = np.flatnonzero(chosen & (drawn.ring == i))
            records = drawn.records[rows]
            later, whole = self._replay.rings[i].read(index.later(rng, records))
            whole &= later["episode"] == records["episode"]
            chosen[rows[~whole]] = False
            rows, records, later = rows[whole], records[whole], later[whole]
            achieving = later["next_observation"]
            for name in ("observation", "next_observation"):
                records[name] = self._goals.relabelled(records[name], achieving)
            reward, terminated = self._goals.outcome(records["next_observation"], records["action"])
            records["reward"], records["terminated"] = reward, terminated
            drawn.records[rows] = records
        return chosen


def _keys(records: Records) -> Keys:
    keys: Keys = records["episode"] + 1j * records["time_ns"]
    return keys
