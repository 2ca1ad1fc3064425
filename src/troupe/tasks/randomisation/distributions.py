"""Distributions to draw from, as users write them."""

from __future__ import annotations

from typing import Annotated, Literal

import numpy as np
from pydantic import BeforeValidator, Field, FiniteFloat, model_validator

from troupe.core.arrays import Array
from troupe.core.seeding import Generator
from troupe.core.settings import Settings, by_type

Numbers = FiniteFloat | Annotated[tuple[FiniteFloat, ...], Field(min_length=1)]
"""One number for all elements, or one for each along the last axis."""


class DistributionSettings(Settings):
    """What a user writes about a distribution; subclasses add their own keys."""

    type: str

    @property
    def num_columns(self) -> int | None:
        """How long the last axis of what is drawn has to be; None for any length."""
        lengths = {len(v) for v in dict(self).values() if isinstance(v, tuple)} - {1}
        return max(lengths, default=None)

    def support(self) -> tuple[Array, Array]:
        """Return the least and the greatest values that can be drawn."""
        raise NotImplementedError

    def draw(self, rng: Generator, shape: tuple[int, ...]) -> Array:
        """Return independent draws."""
        raise NotImplementedError


class Uniform(DistributionSettings):
    """All values from low to high alike.

    Attributes:
        low: the least.
        high: the greatest.
    """

    type: Literal["uniform"] = "uniform"
    low: Numbers
    high: Numbers

    @model_validator(mode="after")
    def _check_order(self) -> Uniform:
        _check_order(self.low, self.high)
        return self

    def support(self) -> tuple[Array, Array]:
        """Return low and high."""
        return np.asarray(self.low), np.asarray(self.high)

    def draw(self, rng: Generator, shape: tuple[int, ...]) -> Array:
        """Return independent draws."""
        return rng.uniform(self.low, self.high, shape)


class LogUniform(DistributionSettings):
    """All orders of magnitude from low to high alike: the logarithm is uniform.

    Attributes:
        low: the least, above 0.
        high: the greatest.
    """

    type: Literal["log-uniform"] = "log-uniform"
    low: Numbers
    high: Numbers

    @model_validator(mode="after")
    def _check_order(self) -> LogUniform:
        if np.min(self.low) <= 0:
            raise ValueError(f"low: a log-uniform distribution is of numbers above 0: {self.low}")
        _check_order(self.low, self.high)
        return self

    def support(self) -> tuple[Array, Array]:
        """Return low and high."""
        return np.asarray(self.low), np.asarray(self.high)

    def draw(self, rng: Generator, shape: tuple[int, ...]) -> Array:
        """Return independent draws."""
        drawn: Array = np.exp(rng.uniform(np.log(self.low), np.log(self.high), shape))
        return np.clip(drawn, self.low, self.high)  # rounding may leave the range


class Gaussian(DistributionSettings):
    """The normal distribution.

    Attributes:
        mean: of the values.
        deviation: their standard deviation.
    """

    type: Literal["gaussian"] = "gaussian"
    mean: Numbers = 0.0
    deviation: Numbers

    @model_validator(mode="after")
    def _check_deviation(self) -> Gaussian:
        if np.min(self.deviation) < 0:
            raise ValueError(f"deviation: at least 0, not {self.deviation}")
        return self

    def support(self) -> tuple[Array, Array]:
        """Return that nothing is out of reach."""
        return np.asarray(-np.inf), np.asarray(np.inf)

    def draw(self, rng: Generator, shape: tuple[int, ...]) -> Array:
        """Return independent draws."""
        return rng.normal(self.mean, self.deviation, shape)


class Choice(DistributionSettings):
    """One of some values, all alike.

    Attributes:
        values: numbers; or lists of them, one of which is taken whole for the last axis.
    """

    type: Literal["choice"] = "choice"
    values: Annotated[tuple[Numbers, ...], Field(min_length=1)]

    @model_validator(mode="after")
    def _check_lengths(self) -> Choice:
        if len({np.shape(value) for value in self.values}) > 1:
            raise ValueError("values: either numbers, or lists of the same length")
        return self

    @property
    def num_columns(self) -> int | None:
        """How long the last axis of what is drawn has to be; None for any length."""
        return len(self.values[0]) if isinstance(self.values[0], tuple) else None

    def support(self) -> tuple[Array, Array]:
        """Return the least and the greatest of the values."""
        values = np.asarray(self.values)
        return values.min(axis=0), values.max(axis=0)

    def draw(self, rng: Generator, shape: tuple[int, ...]) -> Array:
        """Return independent draws."""
        values: Array = np.asarray(self.values, np.float64)
        return values[rng.integers(len(values), size=shape if values.ndim == 1 else shape[:-1])]


DISTRIBUTIONS: dict[str, type[DistributionSettings]] = {
    "uniform": Uniform,
    "gaussian": Gaussian,
    "log-uniform": LogUniform,
    "choice": Choice,
}


Distribution = Annotated[
    Uniform | Gaussian | LogUniform | Choice,
    BeforeValidator(by_type(DISTRIBUTIONS, kind="distribution")),
]
"""A distribution by its type: {type: uniform, low: 0.8, high: 1.2}."""


def _check_order(low: Numbers, high: Numbers) -> None:
    lengths = {np.size(low), np.size(high)} - {1}
    if len(lengths) > 1:
        raise ValueError(f"low has {np.size(low)} numbers, high {np.size(high)}")
    if np.any(np.asarray(low) > np.asarray(high)):
        raise ValueError(f"low: {low} is more than high, {high}")
