"""The contract of goals: how steps would have looked to who pursued another one."""

from __future__ import annotations

from typing import Any, Protocol

import numpy as np
import numpy.typing as npt

Rows = npt.NDArray[np.float32]


class Goals(Protocol):
    """What a task knows of its goals without a world, from observations alone.

    It is what hindsight needs (docs/derivations-sac.md, "Hindsight"). A task offers it only if
    both of its methods are exact.
    """

    def relabelled(self, observation: Rows, achieving: Rows) -> Rows:
        """Return observations as if what other ones achieved had been the goal all along, (B, D).

        Args:
            observation: (B, D).
            achieving: later observations of the same episodes, (B, D).
        """

    def outcome(
        self, observation: Rows, action: npt.NDArray[Any]
    ) -> tuple[Rows, npt.NDArray[np.bool_]]:
        """Return the rewards, and which steps terminated, (B,) each.

        Args:
            observation: that the steps led to, (B, D).
            action: of the steps, (B, ...).
        """
