"""Multilayer perceptrons in numpy, with the normalisation of what they see."""

from __future__ import annotations

import itertools
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from typing import Any, Literal

import numpy as np
import numpy.typing as npt

from troupe.policies.base import FloatRows, PolicyStep

Activation = Literal["tanh", "relu", "elu"]
Distribution = Literal["normal", "state-normal", "squashed-normal", "categorical"]
Parameters = Mapping[str, npt.NDArray[np.float32]]

BLOCK = 32
"""Rows of one matrix product. BLAS may round a row differently in products of another size, so
inference always multiplies blocks of this size that begin at multiples of it in global ids."""

LOG_STD_RANGE = (-5.0, 1.0)
"""Where the logarithm of a deviation that depends on the state is cut."""

OBSERVATION_CLIP = 10.0
"""Normalised observations beyond this many standard deviations are cut."""


def _elu(x: FloatRows) -> FloatRows:
    return np.where(x > 0, x, np.expm1(np.minimum(x, 0)))


_ACTIVATIONS: dict[str, Callable[[FloatRows], FloatRows]] = {
    "tanh": np.tanh,
    "relu": lambda x: np.maximum(x, 0),
    "elu": _elu,
}


@dataclass(frozen=True)
class MlpPolicy:
    """A network whose output is the distribution of actions.

    Attributes:
        parameters: ``actor.<layer>.weight`` (in, out), ``actor.<layer>.bias``, and ``log_std`` if
            the deviation does not depend on the state.
        mean: of the observations, (D,), to subtract.
        scale: to multiply what is left with, (D,): one over the standard deviation.
        activation: between layers.
        distribution: ``normal``: the output is the mean of a diagonal Gaussian; ``state-normal``:
            mean and logarithm of the deviation; ``squashed-normal``: the same, and the action is
            the hyperbolic tangent of what is drawn; ``categorical``: logits.
        version: grows with each update.
    """

    parameters: Parameters
    mean: FloatRows
    scale: FloatRows
    activation: Activation = "tanh"
    distribution: Distribution = "normal"
    version: int = 0

    @property
    def noise_size(self) -> int:
        """Normal numbers for an action: one a component, or one for a category."""
        last = sum(name.endswith("weight") for name in self.parameters) - 1
        num_outputs = len(self.parameters[f"actor.{last}.bias"])
        if self.distribution == "categorical":
            return 1
        return num_outputs if self.distribution == "normal" else num_outputs // 2

    def act(
        self, observation: npt.NDArray[Any], noise: FloatRows | None = None, first_instance: int = 0
    ) -> PolicyStep:
        """Act for observations (N, D); without noise the most likely action."""
        output = self.forward(observation, first_instance)
        if self.distribution == "categorical":
            return _categorical(output, noise)
        if self.distribution == "normal":
            return _gaussian(output, self.parameters["log_std"], noise)
        mean, log_std = np.split(output, 2, axis=1)
        step = _gaussian(mean, np.clip(log_std, *LOG_STD_RANGE), noise)
        return _squashed(step) if self.distribution == "squashed-normal" else step

    def forward(self, observation: npt.NDArray[Any], first_instance: int = 0) -> FloatRows:
        """Return the last layer's output, (N, A): means, or logits."""
        before = first_instance % BLOCK
        num_rows = len(observation)
        num_blocks = -(-(before + num_rows) // BLOCK)
        x = np.zeros((num_blocks * BLOCK, observation.shape[1]), np.float32)
        x[before : before + num_rows] = observation
        x = np.clip((x - self.mean) * self.scale, -OBSERVATION_CLIP, OBSERVATION_CLIP)
        x = x.reshape(num_blocks, BLOCK, -1)
        activate = _ACTIVATIONS[self.activation]
        for layer in itertools.count():
            x = x @ self.parameters[f"actor.{layer}.weight"]
            x += self.parameters[f"actor.{layer}.bias"]
            if f"actor.{layer + 1}.weight" not in self.parameters:
                break
            x = activate(x)
        return x.reshape(num_blocks * BLOCK, -1)[before : before + num_rows]


def _gaussian(mean: FloatRows, log_std: FloatRows, noise: FloatRows | None) -> PolicyStep:
    """Return mean + std noise, for log_std (A,) or (N, A)."""
    if noise is None:
        noise = np.zeros_like(mean)
    constant = log_std.sum(axis=-1) + np.float32(0.5 * mean.shape[1] * np.log(2 * np.pi))
    log_prob = np.float32(-0.5) * np.einsum("na,na->n", noise, noise) - constant
    return PolicyStep(mean + np.exp(log_std) * noise, log_prob)


def _squashed(step: PolicyStep) -> PolicyStep:
    """Return the hyperbolic tangent of actions (docs/derivations-sac.md, "Squashed actions")."""
    drawn = step.action
    log_slope = 2 * (float(np.log(2.0)) - drawn - np.logaddexp(0, -2 * drawn))
    log_prob = step.log_prob - log_slope.sum(axis=1, dtype=np.float32)
    return PolicyStep(np.tanh(drawn), log_prob)


def _categorical(logits: FloatRows, noise: FloatRows | None) -> PolicyStep:
    log_probs = logits - logits.max(axis=1, keepdims=True)
    log_probs = log_probs - np.log(np.exp(log_probs).sum(axis=1, keepdims=True))
    if noise is None:
        action = log_probs.argmax(axis=1)
    else:
        from scipy.special import ndtr  # which takes as long to import as all else here

        # a normal number, through its own distribution function, is uniform in 0 .. 1
        below = np.exp(log_probs).cumsum(axis=1) < ndtr(noise[:, :1])
        action = np.minimum(below.sum(axis=1), logits.shape[1] - 1)
    return PolicyStep(action, log_probs[np.arange(len(action)), action])
