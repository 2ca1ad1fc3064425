"""Running mean and variance, merged batch by batch (docs/derivations.md, "Normalisation")."""

from __future__ import annotations

from typing import NamedTuple

import jax
import jax.numpy as jnp
import numpy as np

NEVER_VARIED = 1e-5
"""Standard deviation below which a component counts as constant."""


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

    def merge(self, samples: jax.Array) -> Running:
        """Return the moments with samples, (B, ...), added (Chan, Golub and LeVeque, 1979)."""
        total = self.num_samples + samples.shape[0]
        share = samples.shape[0] / total
        mean, variance = samples.mean(axis=0), samples.var(axis=0)
        difference = mean - self.mean
        return Running(
            self.mean + difference * share,
            self.variance * (1 - share) + variance * share + difference**2 * share * (1 - share),
            total,
        )

    @property
    def scale(self) -> jax.Array:
        """One over the standard deviation."""
        return 1.0 / jnp.sqrt(self.variance + np.float32(1e-8))

    @property
    def informative_scale(self) -> jax.Array:
        """One over the standard deviation, and 0 for what has never varied but by rounding.

        One over nearly nothing would turn the least noise of a sensor into the strongest input.
        """
        return jnp.where(self.variance > NEVER_VARIED**2, self.scale, 0.0)
