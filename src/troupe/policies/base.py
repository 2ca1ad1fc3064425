"""The contract of a policy."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any, Protocol

import numpy as np
import numpy.typing as npt

from troupe.core.seeding import Streams

FloatRows = npt.NDArray[np.float32]


@dataclass(frozen=True)
class PolicyStep:
    """What a policy does for N observations.

    Attributes:
        action: (N, ...).
        log_prob: of each action under the policy, (N,).
    """

    action: npt.NDArray[Any]
    log_prob: FloatRows


class Policy(Protocol):
    """Turns observations into actions."""

    @property
    def version(self) -> int:
        """Grows with each update by the learner."""

    @property
    def noise_size(self) -> int:
        """How many standard normal numbers an instance's action takes."""

    def act(
        self, observation: npt.NDArray[Any], noise: FloatRows | None = None, first_instance: int = 0
    ) -> PolicyStep:
        """Act for observations, (N, ...).

        Args:
            observation: (N, ...).
            noise: standard normal numbers to explore with, (N, noise_size); None to act
                deterministically.
            first_instance: global id of the first row.
        """


class ActionNoise:
    """Standard normal numbers for actions, from a stream for each instance.

    Numbers are drawn in blocks of a fixed number of steps, so an instance's noise depends on its
    global id and on how many steps it has taken, and on nothing else.
    """

    BLOCK = 256

    def __init__(self, seed: int, first_instance: int, num_instances: int, size: int) -> None:
        """Begin at step 0 of every instance."""
        self._streams = Streams(seed)
        self._instances = range(first_instance, first_instance + num_instances)
        self._size = size
        self._block = np.empty((self.BLOCK, num_instances, size), np.float32)
        self._drawn = -1
        self.step = 0

    def draw(self) -> FloatRows:
        """Return the numbers of the next step, (N, size)."""
        block, row = divmod(self.step, self.BLOCK)
        if block != self._drawn:
            for i, instance in enumerate(self._instances):
                rng = self._streams.generator("action", instance, block)
                self._block[:, i] = rng.standard_normal((self.BLOCK, self._size), np.float32)
            self._drawn = block
        self.step += 1
        numbers: FloatRows = self._block[row]
        return numbers
