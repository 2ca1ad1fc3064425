"""Reproducible streams of randomness.

One root seed feeds every random draw of a run. A stream is named by (root seed, purpose, global
instance id, episode or block), never by how many instances there are or where they run, so a
draw is the same for 1 or 1000 instances, 1 or 8 workers, fresh or resumed. The generator is the
counter-based Philox of numpy: the root seed and the purpose make its key; the instance, the
episode and the block of an episode the high words of its counter, which leaves 2**64 draws to
each.
"""

from __future__ import annotations

import hashlib
from collections.abc import Sequence
from dataclasses import dataclass
from functools import cache

import numpy as np
import numpy.typing as npt

Generator = np.random.Generator


@cache
def _purpose_key(purpose: str) -> int:
    return int.from_bytes(hashlib.blake2b(purpose.encode(), digest_size=8).digest(), "little")


@dataclass(frozen=True)
class Streams:
    """All streams that follow from one root seed.

    Attributes:
        root_seed: a number in 0 .. 2**64 - 1.
    """

    root_seed: int

    def generator(
        self, purpose: str, instance: int = 0, episode: int = 0, block: int = 0
    ) -> Generator:
        """Return the stream of a purpose, for a global instance, an episode and a block of it."""
        key = np.array([self.root_seed, _purpose_key(purpose)], np.uint64)
        counter = np.array([0, block, episode, instance], np.uint64)
        return np.random.Generator(np.random.Philox(counter=counter, key=key))

    def seed(self, purpose: str, instance: int = 0, episode: int = 0) -> int:
        """Return a 32-bit seed from a stream, for a simulator with randomness of its own."""
        return int(self.generator(purpose, instance, episode).integers(2**32))


class InstanceStreams:
    """The streams of a range of instances, each in its own episode.

    Attributes:
        episode: number of each instance's present episode, (N,); -1 before the first one.
        step: steps of the present episodes, (N,).
    """

    def __init__(self, root_seed: int, first_instance: int, num_instances: int) -> None:
        """Give all instances one root seed.

        Args:
            root_seed: of all.
            first_instance: global id of the first one.
            num_instances: how many.
        """
        self.episode = np.full(num_instances, -1, np.int64)
        self.step = np.zeros(num_instances, np.int64)
        self._first = first_instance
        self._streams = [Streams(root_seed)] * num_instances
        self._names = list(range(first_instance, first_instance + num_instances))

    def reseed(self, instances: npt.NDArray[np.int64], seed: int | Sequence[int]) -> None:
        """Begin anew with one root seed, or one for each, of which each is then instance 0."""
        self.episode[instances] = -1
        if isinstance(seed, int):
            for i in instances:
                self._streams[i], self._names[i] = Streams(seed), int(i) + self._first
            return
        for i, own in zip(instances, seed, strict=True):
            self._streams[i], self._names[i] = Streams(own), 0

    def begin(self, instances: npt.NDArray[np.int64]) -> None:
        """Go on to the next episodes of instances."""
        self.episode[instances] += 1
        self.step[instances] = 0

    def generators(self, purpose: str, instances: npt.NDArray[np.int64]) -> list[Generator]:
        """Return a stream for each instance, at the beginning of its episode."""
        return [self.generator(purpose, int(i)) for i in instances]

    def generator(
        self, purpose: str, i: int, block: int = 0, episode: int | None = None
    ) -> Generator:
        """Return the stream of an instance for a block of its present, or of another, episode."""
        number = int(self.episode[i]) if episode is None else episode
        return self._streams[i].generator(purpose, self._names[i], number, block)

    def seeds(self, purpose: str, instances: npt.NDArray[np.int64]) -> list[int]:
        """Return a 32-bit seed for each instance's episode."""
        return [
            self._streams[i].seed(purpose, self._names[i], int(self.episode[i])) for i in instances
        ]
