"""What all ways of exchanging have in common."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any, Protocol

import numpy as np
import numpy.typing as npt

from troupe.fleet.peers.local import Arrays, LocalModel
from troupe.fleet.peers.pool import Pool
from troupe.fleet.peers.process import Report
from troupe.learning.merging import Model
from troupe.learning.merging.divergence import divergence, outlying
from troupe.learning.merging.models import usable

Parameters = dict[str, npt.NDArray[Any]]


@dataclass(frozen=True)
class Outcome:
    """What came of one exchange, or in the asynchronous ways of one report.

    Attributes:
        reports: by the learners' numbers.
        divergence: of the models that were sent.
        ignored: what was wrong with a learner's model, by its number.
        outlying: how far models that stand out are from the middle of all, in median distances.
        skipped: why nothing was merged; empty if it was.
    """

    reports: Mapping[int, Report]
    divergence: float
    ignored: Mapping[int, str] = field(default_factory=dict)
    outlying: Mapping[int, float] = field(default_factory=dict)
    skipped: str = ""

    @classmethod
    def of(
        cls,
        reports: Mapping[int, Report],
        models: Mapping[int, Arrays],
        common: LocalModel,
        ignored: Mapping[int, str],
        skipped: str = "",
    ) -> Outcome:
        """Return what came of an exchange.

        Args:
            reports: by the learners' numbers.
            models: of all learners, as far as they are known.
            common: a model that tells how to compare them.
            ignored: what was wrong with a learner's model, by its number.
            skipped: why nothing was merged; empty if it was.
        """
        sound, _ = usable(Model(-1, common.parameters()), [Model(n, p) for n, p in models.items()])
        with np.errstate(all="ignore"):  # of garbage that is finite
            found = common.aligned([model.parameters for model in sound]) if sound else []
        aligned = [Model(m.peer, p) for m, p in zip(sound, found, strict=True)]
        spread = divergence(found) if found else float("nan")
        return cls(reports, spread, ignored, outlying(aligned), skipped)


class Exchange(Protocol):
    """A way in which learners exchange what they learn.

    Attributes:
        pool: the learners.
    """

    pool: Pool

    @property
    def parameters(self) -> Parameters:
        """The common model; where there is none, the mean of all."""

    def step(self) -> Outcome:
        """Go on until something has been learned, and return what."""

    def state(self) -> dict[str, Parameters]:
        """Return everything beside the learners' states that `restore` needs, in groups."""

    def restore(self, groups: Mapping[str, Arrays]) -> None:
        """Go on from a state, once the pool has the learners' states and before any step."""

    def close(self) -> None:
        """End whatever was started beside the learners."""
