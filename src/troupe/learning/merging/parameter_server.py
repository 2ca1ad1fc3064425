"""Parameter server: one model, which takes the learners' gradients."""

from __future__ import annotations

from typing import ClassVar, Literal

from pydantic import model_validator

from troupe.learning.merging.average import Average
from troupe.learning.merging.base import Exchange, MergeSettings


class ParameterServerSettings(MergeSettings):
    """A server holds the model, takes the learners' gradients and gives them the newest model.

    Attributes:
        every: updates of a learner between two reports of figures; 1 if synchronous.
        synchronous: whether the server waits for the gradients of all learners and averages them;
            else it applies each as it comes, as in A3C (Mnih et al., 2016).
    """

    exchange: ClassVar[Exchange] = "server"

    type: Literal["parameter-server"] = "parameter-server"
    synchronous: bool = True

    @model_validator(mode="after")
    def _check_every(self) -> ParameterServerSettings:
        if self.synchronous and self.every > 1:
            raise ValueError(
                f"every: {self.every} updates alone are nothing that a synchronous server can wait "
                "for; valid: 1, or synchronous: false"
            )
        return self

    def build(self, seed: int) -> Average:
        """Return what merges the gradients of a synchronous step."""
        return Average()
