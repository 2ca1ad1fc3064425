"""Fragments of any length, repacked into batches of one shape."""

from __future__ import annotations

from collections import deque
from collections.abc import Mapping
from typing import Any

import numpy as np
import numpy.typing as npt

from troupe.episodes.fragment import Fragment

Steps = dict[str, npt.NDArray[Any]]
"""Arrays over steps: those of a fragment and ``next_observation``, without time and instance
axes. What follows a step that is neither terminated nor truncated is the next one."""

PER_STEP = (
    "action",
    "log_prob",
    "reward",
    "terminated",
    "truncated",
    "version",
    "time_ns",
    "instance",
    "episode",
)


class Backlog:
    """Steps that wait to be learned from, the oldest first.

    Fast and slow workers send pieces of different length. Laid end to end they fill batches of
    one shape without any gap: the last step of a piece becomes a truncated one, from which the
    value of what would have come next is estimated as at the end of any fragment.

    Attributes:
        num_steps: that wait.
    """

    def __init__(self) -> None:
        """Begin empty."""
        self.num_steps = 0
        self._pieces: deque[Steps] = deque()

    def add(self, fragment: Fragment) -> None:
        """Append the steps of a fragment, one instance after the other."""
        terminated, truncated = fragment.terminated, fragment.truncated.copy()
        truncated[-1] |= ~terminated[-1]
        found = {
            **{name: getattr(fragment, name) for name in PER_STEP},
            "observation": fragment.observation[:-1],
            "next_observation": fragment.next_observation(),
            "truncated": truncated,
        }
        self._append({name: _end_to_end(values) for name, values in found.items()})

    def take(self, num_rows: int, num_columns: int) -> Fragment:
        """Remove the oldest steps and return them as a fragment of (num_rows, num_columns)."""
        steps = self._remove(num_rows * num_columns)

        def block(values: npt.NDArray[Any]) -> npt.NDArray[Any]:
            return values.reshape(num_columns, num_rows, *values.shape[1:]).swapaxes(0, 1)

        blocks = {name: np.ascontiguousarray(block(values)) for name, values in steps.items()}
        following = blocks.pop("next_observation")
        observation = np.concatenate([blocks.pop("observation"), following[-1:]])
        blocks["truncated"][-1] |= ~blocks["terminated"][-1]
        final_step = np.argwhere(blocks["terminated"] | blocks["truncated"])
        return Fragment(
            observation=observation,
            final_step=final_step,
            final_observation=following[tuple(final_step.T)],
            **blocks,
        )

    def arrays(self) -> Steps:
        """Return all steps that wait, for a checkpoint."""
        return self._joined() if self._pieces else {}

    def restore(self, arrays: Mapping[str, npt.NDArray[Any]]) -> None:
        """Replace what waits by the steps of a checkpoint."""
        self._pieces.clear()
        self.num_steps = 0
        if arrays:
            self._append(dict(arrays))

    def _append(self, steps: Steps) -> None:
        self._pieces.append(steps)
        self.num_steps += len(steps["reward"])

    def _remove(self, num_steps: int) -> Steps:
        steps = self._joined()
        self._pieces.clear()
        self.num_steps = 0
        rest = {name: values[num_steps:] for name, values in steps.items()}
        if len(rest["reward"]):
            self._append(rest)
        return {name: values[:num_steps] for name, values in steps.items()}

    def _joined(self) -> Steps:
        names = self._pieces[0]
        return {name: np.concatenate([p[name] for p in self._pieces]) for name in names}


def _end_to_end(values: npt.NDArray[Any]) -> npt.NDArray[Any]:
    """Return (T, N, ...) as (N T, ...), one instance after the other."""
    return values.swapaxes(0, 1).reshape(-1, *values.shape[2:])
