"""Replay: the steps of fragments in ring files, to be drawn again and again.

Each writer has a ring file of its own, a reader draws from all of them together. What is written
is whole when it is seen, whatever happens to the writer (see `replay_ring`).
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt

from troupe.core.arrays import ArraySpec
from troupe.core.errors import UserError
from troupe.core.seeding import Generator
from troupe.episodes import Fragment
from troupe.learning.replay_ring import Numbers, Records, Ring, RingWriter
from troupe.learning.weighting import Draws

SUFFIX = ".ring"


def transition_dtype(observation: ArraySpec, action: ArraySpec) -> np.dtype[Any]:
    """Return the type of a record: a step and what it led to, observations flat.

    Its ``episode`` counts the episodes in the file; all else is as in a fragment.
    """
    width = (int(np.prod(observation.shape)),)
    kept = np.int32 if action.categories else np.float32
    return np.dtype(
        [
            ("episode", np.int64),
            ("time_ns", np.int64),
            ("instance", np.int64),
            ("version", np.int64),
            ("log_prob", np.float32),
            ("reward", np.float32),
            ("terminated", np.bool_),
            ("observation", np.float32, width),
            ("action", kept, (int(np.prod(action.shape)),)),
            ("next_observation", np.float32, width),
        ]
    )


class ReplayWriter:
    """Appends fragments to a ring file.

    Attributes:
        ring: the file.
    """

    def __init__(
        self, path: Path, observation: ArraySpec, action: ArraySpec, capacity: int
    ) -> None:
        """Open or make a ring file.

        Args:
            path: of the file.
            observation: of one instance.
            action: of one instance.
            capacity: steps that are kept.

        Raises:
            UserError: if the file is damaged, of another kind, or has a writer.
        """
        self.ring = RingWriter(path, transition_dtype(observation, action), capacity)
        kept, _ = self.ring.read(np.arange(self.ring.oldest, self.ring.count))
        self._num_episodes = int(kept["episode"].max(initial=-1)) + 1
        # of each instance's present episode: its number there, and here
        self._present: dict[int, tuple[int, int]] = {}

    def append(self, fragment: Fragment, weight: npt.NDArray[np.float32] | None = None) -> int:
        """Append the steps of a fragment and return how many.

        Args:
            fragment: of steps, (T, N).
            weight: (T, N), 0 for what is no step but padding; None if there is none.
        """
        shape = fragment.reward.shape
        real = np.ones(shape, np.bool_) if weight is None else weight > 0
        records = np.zeros(shape, self.ring.dtype)
        for name in ("time_ns", "instance", "version", "log_prob", "reward", "terminated"):
            records[name] = getattr(fragment, name)
        records["observation"] = fragment.observation[:-1].reshape(*shape, -1)
        records["action"] = fragment.action.reshape(*shape, -1)
        records["next_observation"] = fragment.next_observation().reshape(*shape, -1)
        kept = records[real]
        kept["episode"] = self._numbered(fragment.instance[real], fragment.episode[real])
        self.ring.append(kept)
        return len(kept)

    def state(self) -> dict[str, npt.NDArray[Any]]:
        """Return the file's content and the numbering of episodes."""
        numbers = np.arange(self.ring.oldest, self.ring.count)
        content = self.ring.read(numbers)[0].tobytes()
        present = [(instance, *both) for instance, both in self._present.items()]
        return {
            "records": np.frombuffer(content, np.uint8),
            "count": np.asarray(self.ring.count),
            "num_episodes": np.asarray(self._num_episodes),
            "present": np.array(present, np.int64).reshape(-1, 3),
        }

    def restore(self, state: Mapping[str, npt.NDArray[Any]]) -> None:
        """Replace the file's content by that of a state, and go on from there."""
        records = np.frombuffer(state["records"].tobytes(), self.ring.dtype)
        self.ring.replace(records, int(state["count"]))
        self._num_episodes = int(state["num_episodes"])
        self._present = {int(i): (int(e), int(n)) for i, e, n in state["present"]}

    def close(self) -> None:
        """Let others write; may be called again."""
        self.ring.close()

    def _numbered(self, instance: Numbers, episode: Numbers) -> Numbers:
        """Return numbers that no other episode in the file has, also of earlier runs, (M,)."""
        pairs, place = np.unique(np.stack([instance, episode], axis=1), axis=0, return_inverse=True)
        numbers = np.empty(len(pairs), np.int64)
        for row, (i, e) in enumerate(pairs.tolist()):
            known, number = self._present.get(i, (-1, -1))
            if known != e:
                number = self._num_episodes
                self._num_episodes += 1
                self._present[i] = (e, number)
            numbers[row] = number
        return numbers[place.reshape(-1)]


@dataclass(frozen=True)
class Drawn:
    """Steps that were drawn from a replay.

    Attributes:
        records: of the type `transition_dtype`, (B,).
        ring: which ring each is from, (B,).
        number: of each in its ring, (B,).
        weight: that corrects for how probable each was, at most 1, (B,).
    """

    records: Records
    ring: Numbers
    number: Numbers
    weight: npt.NDArray[np.float32]

    def draw(self, rng: Generator, size: int, draws: Draws) -> Drawn:
        """Draw steps from these with replacement, as a weighting says."""
        cumulative = draws.probability.cumsum()
        chosen = np.searchsorted(cumulative, rng.random(size) * cumulative[-1], "right")
        chosen = np.minimum(chosen, len(cumulative) - 1)
        weight = draws.correction[chosen].astype(np.float32)
        return Drawn(self.records[chosen], self.ring[chosen], self.number[chosen], weight)


class Replay:
    """Draws from the ring files of a directory.

    Attributes:
        rings: by the order of their files' names.
    """

    def __init__(self, directory: Path, dtype: np.dtype[Any] | None = None) -> None:
        """Open a directory's files.

        Args:
            directory: where writers have, or will have, their files.
            dtype: that records have to be of; default: any that all files share.
        """
        self.directory = directory
        self.rings: list[Ring] = []
        self._dtype = dtype
        self.refresh()

    def refresh(self) -> None:
        """Open files that are new.

        Raises:
            UserError: if one is damaged or holds other records.
        """
        known = {ring.path for ring in self.rings}
        for path in sorted(self.directory.glob(f"*{SUFFIX}")):
            if path in known:
                continue
            ring = Ring(path)
            self._dtype = self._dtype or ring.dtype
            if ring.dtype != self._dtype:
                raise UserError(f"ring file '{path}' holds steps of another experiment.")
            self.rings.append(ring)

    def __len__(self) -> int:
        """Return how many steps can be drawn."""
        return sum(ring.count - ring.oldest for ring in self.rings)

    def draw(self, rng: Generator, size: int) -> Drawn:
        """Draw steps with replacement, all equally probable."""
        firsts, counts = self._there()
        ends = counts.cumsum()
        chosen = rng.integers(ends[-1], size=size)
        ring = np.searchsorted(ends, chosen, "right")
        number = firsts[ring] + chosen - (ends - counts)[ring]
        records, whole = self._read(ring, number)
        if not whole.all():
            # a writer was faster: draw others in their place
            again = self.draw(rng, int((~whole).sum()))
            records[~whole], ring[~whole] = again.records, again.ring
            number[~whole] = again.number
        return Drawn(records, ring, number, np.ones(size, np.float32))

    def all(self) -> Drawn:
        """Return all steps, to draw from with `Drawn.draw`."""
        firsts, counts = self._there()
        ring = np.repeat(np.arange(len(counts)), counts)
        number = np.concatenate([f + np.arange(c) for f, c in zip(firsts, counts, strict=True)])
        records, whole = self._read(ring, number)
        weight = np.ones(int(whole.sum()), np.float32)
        return Drawn(records[whole], ring[whole], number[whole], weight)

    def _there(self) -> tuple[Numbers, Numbers]:
        """Return the first number of each ring's records, and how many there are."""
        firsts = np.array([ring.oldest for ring in self.rings], np.int64)
        return firsts, np.array([ring.count for ring in self.rings], np.int64) - firsts

    def _read(self, ring: Numbers, number: Numbers) -> tuple[Records, npt.NDArray[np.bool_]]:
        """Return records by ring and number, and which of them are whole."""
        if len(self.rings) == 1:
            return self.rings[0].read(number)
        records = np.empty(len(number), self._dtype)
        whole = np.empty(len(number), np.bool_)
        for i, opened in enumerate(self.rings):
            own = ring == i
            records[own], whole[own] = opened.read(number[own])
        return records, whole
