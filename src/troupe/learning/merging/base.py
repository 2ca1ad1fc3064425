"""The contract of a merge."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any, ClassVar, Literal, Protocol

import numpy.typing as npt
from pydantic import Field

from troupe.core.errors import TroupeError, UserError
from troupe.core.settings import Settings

Parameters = Mapping[str, npt.NDArray[Any]]

Exchange = Literal["rounds", "neighbours", "gradients", "server"]


class TooFewModels(TroupeError):  # noqa: N818 - says what is wrong
    """Too few models came that can be used for a merge to keep what it promises."""


@dataclass(frozen=True)
class Model:
    """What a peer offers, or what the peers' models are merged into.

    Attributes:
        peer: its number.
        parameters: arrays by name.
        steps: that it has learned from since the last merge. A model with 0 has learned nothing: in
            a round `own` is the common model that all began from.
    """

    peer: int
    parameters: Parameters
    steps: int = 0


@dataclass(frozen=True)
class Merged:
    """What a merge leads to.

    Attributes:
        parameters: new arrays, of the same names, shapes and types as the merge's own model.
        ignored: why the model of a peer could not be used, by the peer's number.
    """

    parameters: dict[str, npt.NDArray[Any]]
    ignored: Mapping[int, str] = field(default_factory=dict)


class Merge(Protocol):
    """Makes one model of several.

    A merge ignores a model that does not fit its own, or is not finite, and names the peer that
    sent it. A merge that remembers anything between rounds overrides `state` and `restore`.
    """

    def merge(self, own: Model, peers: Sequence[Model], round_number: int) -> Merged:
        """Return the merged model; what is given stays as it is.

        Args:
            own: the model to merge into, which is sound.
            peers: what others sent, sound or not.
            round_number: of the exchange, for streams of randomness.

        Raises:
            TooFewModels: if not enough of them can be used.
        """

    def state(self) -> dict[str, npt.NDArray[Any]]:
        """Return everything that `restore` needs to go on bitwise the same."""
        return {}

    def restore(self, state: Parameters) -> None:
        """Go on from a state."""
        return


class MergeSettings(Settings):
    """What a user writes about a merge; subclasses add their own keys.

    Attributes:
        every: updates that a learner makes between two exchanges.
        exchange: what is sent to whom. In ``rounds`` all models are merged into one, from which
            all go on; with ``neighbours`` each learner merges another's model into its own, at its
            own pace; ``gradients`` are averaged by all learners for each minibatch; a ``server``
            takes gradients and gives models.
    """

    exchange: ClassVar[Exchange] = "rounds"

    type: str
    every: int = Field(1, ge=1)

    @property
    def least_learners(self) -> int:
        """How many learners there must be."""
        return 1

    def check(self, num_learners: int, where: str = "fleet.merge") -> None:
        """Check that a merge of so many learners is possible.

        Raises:
            UserError: if it is not.
        """
        if num_learners < self.least_learners:
            raise UserError(
                f"{where}: '{self.type}' with these settings needs at least "
                f"{self.least_learners} learners, not {num_learners}."
            )

    def build(self, seed: int) -> Merge:
        """Return a new merge.

        Args:
            seed: the root seed.
        """
        raise NotImplementedError
