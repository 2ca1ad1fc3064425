"""Reproducible streams of randomness.

One root seed feeds every random draw of a run. A stream is named by (root seed, purpose, global
instance id, episode or block), never by how many instances there are or where they run, so a
draw is the same for 1 or 1000 instances, 1 or 8 workers, fresh or resumed. The generator is the
counter-based Philox of numpy: the root seed and the purpose make its key, the instance and the
episode the high words of its counter, which leaves 2**128 draws to each stream.
"""

from __future__ import annotations

import hashlib
from dataclasses import dataclass
from functools import cache

import numpy as np

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

    def generator(self, purpose: str, instance: int = 0, episode: int = 0) -> Generator:
        """Return the stream of a purpose, for a global instance and an episode (or block)."""
        key = np.array([self.root_seed, _purpose_key(purpose)], np.uint64)
        counter = np.array([0, 0, episode, instance], np.uint64)
        return np.random.Generator(np.random.Philox(counter=counter, key=key))

    def seed(self, purpose: str, instance: int = 0, episode: int = 0) -> int:
        """Return a 32-bit seed from a stream, for a simulator with randomness of its own."""
        return int(self.generator(purpose, instance, episode).integers(2**32))
