"""State that is nothing but arrays, so that it can be kept and brought back."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any, ClassVar

import numpy.typing as npt

from troupe.core.arrays import Ids


class ArrayState:
    """What has its whole state in named arrays that lead with the instances.

    Attributes:
        STATE: names of the attributes that are its state.
        num_instances: N.
    """

    STATE: ClassVar[tuple[str, ...]]
    num_instances: int

    def snapshot(self) -> dict[str, npt.NDArray[Any]]:
        """Return the exact state of all instances."""
        return {name: getattr(self, name).copy() for name in self.STATE}

    def restore(
        self, snapshot: Mapping[str, npt.NDArray[Any]], instances: Ids | None = None
    ) -> None:
        """Return instances, None for all, to a snapshot's state, bit for bit."""
        rows: Any = slice(None) if instances is None else instances
        for name in self.STATE:
            getattr(self, name)[rows] = snapshot[name][rows]
