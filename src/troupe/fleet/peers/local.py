"""What a learner of the fleet can do by itself."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any, Protocol

import numpy.typing as npt

from troupe.fleet.sampler import Sample

Arrays = Mapping[str, npt.NDArray[Any]]

OWN = "own/"
"""Begins the names in a state that another learner must not take over, such as where simulations
are."""

SERVER = -1
"""Number of a local model that gathers no experience: a parameter server's."""


@dataclass(frozen=True)
class Improvement:
    """One update of a local model.

    Attributes:
        steps: that it learned from.
        figures: of the update, by name.
        sample: what was experienced, of its fragment the rewards only; None without simulations.
    """

    steps: int
    figures: Mapping[str, float]
    sample: Sample | None = None


class LocalModel(Protocol):
    """A model that improves with experience of its own.

    Either `improve` makes a whole update, or it is made together with others: `begin`, `agree`,
    then for each minibatch `gradients` and either `apply` with the mean of all gradients or `adopt`
    with what they led to elsewhere, and `finish`. Arrays that are given may be read-only, and are
    not kept.
    """

    def improve(self) -> Improvement:
        """Gather experience and make one update."""

    def begin(self) -> dict[str, npt.NDArray[Any]]:
        """Gather experience, begin an update, and return the statistics to agree on."""

    def agree(self, statistics: Arrays) -> int:
        """Take up the mean of all statistics and return the number of minibatches.

        A model that has begun no update, for it only applies what others find, has none.
        """

    def gradients(self, minibatch: int) -> dict[str, npt.NDArray[Any]]:
        """Return those of a minibatch of the update at the present weights."""

    def apply(self, gradients: Arrays) -> None:
        """Take one step along gradients, whether an update has begun here or elsewhere."""

    def finish(self) -> Improvement:
        """End the update."""

    def aligned(self, models: Sequence[Arrays]) -> Sequence[Arrays]:
        """Return models such that a mean of their weights means something."""

    def parameters(self) -> dict[str, npt.NDArray[Any]]:
        """Return everything that merging makes one of many."""

    def adopt(self, parameters: Arrays) -> None:
        """Replace the parameters; the optimiser's state stays."""

    def state(self) -> dict[str, npt.NDArray[Any]]:
        """Return everything that `restore` needs to go on bitwise the same, between updates."""

    def restore(self, state: Arrays) -> None:
        """Go on from a state; what is missing of `OWN` stays as it is."""

    def close(self) -> None:
        """Release everything; may be called again."""


MakeLocalModel = Callable[[int], LocalModel]
"""Makes the local model of a learner's number, in the learner's process."""


def of_others(state: Arrays) -> dict[str, npt.NDArray[Any]]:
    """Return what of a state another learner can go on from."""
    return {name: values for name, values in state.items() if not name.startswith(OWN)}
