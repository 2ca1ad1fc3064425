"""A local model that tells handwritten digits apart (scikit-learn's), in numpy: quick to learn,
exact, and hence fit to show what an exchange does by itself."""

from __future__ import annotations

import itertools
import time
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from functools import cache
from typing import Any

import numpy as np
import numpy.typing as npt
from sklearn.datasets import load_digits

from troupe.core import Streams
from troupe.fleet.peers.local import SERVER, Improvement

Arrays = Mapping[str, npt.NDArray[Any]]
Parameters = dict[str, npt.NDArray[Any]]

NUM_CLASSES = 10
NUM_TEST = 397


@dataclass(frozen=True)
class DigitsSettings:
    """How digits are learned.

    Attributes:
        num_learners: over whom the training digits are divided.
        batch: digits of a step.
        minibatches: steps of an update.
        step_size: of gradient descent.
        momentum: of gradient descent.
        hidden: width of the hidden layer.
        skewed: whether each learner sees few kinds of digits only, rather than a fair share.
        sleep_s: that gathering the digits of an update takes, as slow actors would.
        seed: of weights and batches.
    """

    num_learners: int = 1
    batch: int = 32
    minibatches: int = 1
    step_size: float = 0.2
    momentum: float = 0.0
    hidden: int = 32
    skewed: bool = False
    sleep_s: float = 0.0
    seed: int = 0


class Digits:
    """A network of one hidden layer, and one learner's share of the digits."""

    def __init__(self, settings: DigitsSettings, number: int) -> None:
        self.settings = settings
        self._number = number
        self._streams = Streams(settings.seed)
        self._weights = _initial(settings, self._streams.generator("weights"))
        self._velocity = {name: np.zeros_like(v) for name, v in self._weights.items()}
        self._updates = 0
        if number != SERVER:
            self._inputs, self._labels = share(settings, number)

    def improve(self) -> Improvement:
        for minibatch in range(self.agree(self.begin())):
            self.apply(self.gradients(minibatch))
        return self.finish()

    def begin(self) -> Parameters:
        rng = self._streams.generator("digits", self._number, self._updates)
        size = self.settings.minibatches * self.settings.batch
        self._rows = rng.integers(len(self._labels), size=size)
        if self.settings.sleep_s:
            time.sleep(self.settings.sleep_s)
        return {}

    def agree(self, statistics: Arrays) -> int:
        return self.settings.minibatches if hasattr(self, "_rows") else 0

    def gradients(self, minibatch: int) -> Parameters:
        rows = self._rows.reshape(self.settings.minibatches, -1)[minibatch]
        self._loss, gradients = loss_and_gradients(
            self._weights, self._inputs[rows], self._labels[rows]
        )
        return gradients

    def apply(self, gradients: Arrays) -> None:
        for name, gradient in gradients.items():
            self._velocity[name] = self.settings.momentum * self._velocity[name] + gradient
            self._weights[name] = (
                self._weights[name] - self.settings.step_size * self._velocity[name]
            )

    def finish(self) -> Improvement:
        self._updates += 1
        return Improvement(len(self._rows), {"loss": self._loss})

    def aligned(self, models: Sequence[Arrays]) -> list[Parameters]:
        return [dict(model) for model in models]

    def parameters(self) -> Parameters:
        return {name: values.copy() for name, values in self._weights.items()}

    def adopt(self, parameters: Arrays) -> None:
        self._weights = {name: np.array(values) for name, values in parameters.items()}

    def state(self) -> Parameters:
        velocity = {f"velocity/{name}": v.copy() for name, v in self._velocity.items()}
        return {**self.parameters(), **velocity, "own/updates": np.asarray(self._updates)}

    def restore(self, state: Arrays) -> None:
        self._weights = {name: np.array(state[name]) for name in self._weights}
        self._velocity = {name: np.array(state[f"velocity/{name}"]) for name in self._weights}
        self._updates = int(state.get("own/updates", self._updates))

    def close(self) -> None:
        return


@dataclass(frozen=True)
class MakeDigits:
    """Makes the learner of a number."""

    settings: DigitsSettings

    def __call__(self, number: int) -> Digits:
        return Digits(self.settings, number)


def loss_and_gradients(
    weights: Arrays, inputs: npt.NDArray[Any], labels: npt.NDArray[Any]
) -> tuple[float, Parameters]:
    """Return the mean cross-entropy and its gradients."""
    hidden = np.tanh(inputs @ weights["0.weight"] + weights["0.bias"])
    probability = _softmax(hidden @ weights["1.weight"] + weights["1.bias"])
    rows = np.arange(len(labels))
    loss = float(-np.log(probability[rows, labels] + 1e-12).mean())
    error = probability.copy()
    error[rows, labels] -= 1.0
    error /= len(labels)
    back = (error @ weights["1.weight"].T) * (1 - hidden**2)
    return loss, {
        "0.weight": inputs.T @ back,
        "0.bias": back.sum(axis=0),
        "1.weight": hidden.T @ error,
        "1.bias": error.sum(axis=0),
    }


def accuracy(weights: Arrays) -> float:
    """Return the share of the test digits that are told right."""
    inputs, labels = _digits()
    hidden = np.tanh(inputs[:NUM_TEST] @ weights["0.weight"] + weights["0.bias"])
    scores = hidden @ weights["1.weight"] + weights["1.bias"]
    return float((scores.argmax(axis=1) == labels[:NUM_TEST]).mean())


def share(settings: DigitsSettings, number: int) -> tuple[npt.NDArray[Any], npt.NDArray[Any]]:
    """Return the training digits of a learner: a fair share, or neighbouring kinds."""
    inputs, labels = (values[NUM_TEST:] for values in _digits())
    order = np.argsort(labels, kind="stable") if settings.skewed else np.arange(len(labels))
    place = number % settings.num_learners
    if settings.skewed:
        rows = np.array_split(order, settings.num_learners)[place]
    else:
        rows = order[place :: settings.num_learners]
    return inputs[rows], labels[rows]


@cache
def _digits() -> tuple[npt.NDArray[Any], npt.NDArray[Any]]:
    found = load_digits()
    order = np.random.default_rng(0).permutation(len(found.target))
    return found.data[order] / 16.0 - 0.5, found.target[order]


def _initial(settings: DigitsSettings, rng: np.random.Generator) -> Parameters:
    widths = (64, settings.hidden, NUM_CLASSES)
    weights: Parameters = {}
    for layer, (before, after) in enumerate(itertools.pairwise(widths)):
        weights[f"{layer}.weight"] = rng.standard_normal((before, after)) / np.sqrt(before)
        weights[f"{layer}.bias"] = np.zeros(after)
    return weights


def _softmax(scores: npt.NDArray[Any]) -> npt.NDArray[Any]:
    shifted = np.exp(scores - scores.max(axis=1, keepdims=True))
    return np.asarray(shifted / shifted.sum(axis=1, keepdims=True))
