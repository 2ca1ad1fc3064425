"""Running mean and variance, merged batch by batch (docs/derivations.md, "Normalisation")."""

from __future__ import annotations

from typing import NamedTuple

import jax
import jax.numpy as jnp
import numpy as np

from troupe.policies.mlp import OBSERVATION_CLIP

NEVER_VARIED = 1e-5
"""Standard deviation below which a component counts as constant."""

TINY_VARIANCE = 1e-8
"""Added to variances, so that one over their root is finite."""


def weighted_mean(values: jax.Array, weight: jax.Array | None) -> jax.Array:
    """Return the mean over the first axis, with weights (B,) or, for None, with equal ones."""
    if weight is None:
        return values.mean(axis=0)
    aligned = weight.reshape(weight.shape + (1,) * (values.ndim - 1))
    return (aligned * values).sum(axis=0) / weight.sum()


def moments(
    values: jax.Array, weight: jax.Array | None
) -> tuple[jax.Array, jax.Array, jax.Array | int]:
    """Return mean and variance over the first axis and the sum of the weights."""
    if weight is None:
        return values.mean(axis=0), values.var(axis=0), values.shape[0]
    mean = weighted_mean(values, weight)
    return mean, weighted_mean((values - mean) ** 2, weight), weight.sum()


class Running(NamedTuple):
    """Moments of everything seen so far.

    Attributes:
        mean: (...).
        variance: (...), of the population.
        num_samples: how many.
    """

    mean: jax.Array
    variance: jax.Array
    num_samples: jax.Array

    @classmethod
    def empty(cls, shape: tuple[int, ...]) -> Running:
        """Return moments of nothing: mean 0 and variance 1."""
        return cls(jnp.zeros(shape), jnp.ones(shape), jnp.zeros(()))

    def merge(self, samples: jax.Array, weight: jax.Array | None = None) -> Running:
        """Return the moments with samples, (B, ...), added; samples of weight 0 do not count."""
        return self.merge_moments(*moments(samples, weight))

    def merge_moments(
        self, mean: jax.Array, variance: jax.Array, num_samples: jax.Array | int
    ) -> Running:
        """Return the moments with those of a batch added (Chan, Golub and LeVeque, 1979)."""
        total = self.num_samples + num_samples
        share = num_samples / total
        difference = mean - self.mean
        return Running(
            self.mean + difference * share,
            self.variance * (1 - share) + variance * share + difference**2 * share * (1 - share),
            total,
        )

    @property
    def scale(self) -> jax.Array:
        """One over the standard deviation."""
        return 1.0 / jnp.sqrt(self.variance + np.float32(TINY_VARIANCE))

    @property
    def informative_scale(self) -> jax.Array:
        """One over the standard deviation, and 0 for what has never varied but by rounding.

        One over nearly nothing would turn the least noise of a sensor into the strongest input.
        """
        return jnp.where(self.variance > NEVER_VARIED**2, self.scale, 0.0)

    def normalised(self, observation: jax.Array) -> jax.Array:
        """Return observations, (..., D), as the networks see them, and as `MlpPolicy` does."""
        scaled = (observation - self.mean) * self.informative_scale
        return jnp.clip(scaled, -OBSERVATION_CLIP, OBSERVATION_CLIP)
