"""What a user writes about the real time that steps of a slow simulator take."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Annotated, Any, Literal

import numpy as np
from pydantic import BeforeValidator, Field, ValidationInfo

from troupe.core.seeding import Generator
from troupe.core.settings import Duration, Settings, by_type


class DrawnTime(Settings):
    """Times that differ from step to step, with a heavy tail.

    Attributes:
        mean: of the distribution.
        longest: a step takes no longer than this, which lowers the mean a little; default: as
            long as is drawn.
    """

    type: str
    mean: Duration
    longest: Duration | None = None

    def draw_ns(self, generator: Generator) -> float:
        """Return a step's time."""
        drawn_ns = self.mean * self._draw(generator)
        return drawn_ns if self.longest is None else min(drawn_ns, self.longest)

    def _draw(self, generator: Generator) -> float:
        """Return a number from the distribution with mean 1."""
        raise NotImplementedError


class ParetoTime(DrawnTime):
    """Pareto: P(t > x) = (least / x)^exponent, with least = mean (exponent - 1) / exponent.

    Attributes:
        exponent: of the tail; the variance is infinite up to 2, the mean up to 1.
    """

    type: Literal["pareto"] = "pareto"
    exponent: float = Field(1.5, gt=1)

    def _draw(self, generator: Generator) -> float:
        least = (self.exponent - 1.0) / self.exponent
        return float(least * (1.0 + generator.pareto(self.exponent)))


class LognormalTime(DrawnTime):
    """Lognormal: ln(t) is normal with deviation sigma, so the median is mean exp(-sigma^2 / 2).

    Attributes:
        sigma: standard deviation of the time's logarithm.
    """

    type: Literal["lognormal"] = "lognormal"
    sigma: float = Field(1.0, gt=0)

    def _draw(self, generator: Generator) -> float:
        return float(np.exp(self.sigma * generator.standard_normal() - self.sigma**2 / 2))


_DRAWN: dict[str, type[DrawnTime]] = {"pareto": ParetoTime, "lognormal": LognormalTime}


_of_type = by_type(_DRAWN)


def _drawn(value: Any, info: ValidationInfo) -> Any:
    """Return the settings of a mapping; anything else is for others to check."""
    return _of_type(value, info) if isinstance(value, Mapping) else value


StepTime = Annotated[Duration | ParetoTime | LognormalTime, BeforeValidator(_drawn)]
"""One duration for each step, "20ms", or a distribution: {type: pareto, mean: 20ms}."""
