"""A learner's process: a local model, and what it exchanges with others."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field, replace
from typing import Any

import numpy as np
import numpy.typing as npt
import ray
from ray.exceptions import GetTimeoutError
from threadpoolctl import threadpool_limits

from troupe.fleet.actors import LOST
from troupe.fleet.peers.local import Arrays, Improvement, LocalModel, MakeLocalModel
from troupe.fleet.whereabouts import Whereabout, here
from troupe.learning.merging import Merge, Merged, Model
from troupe.learning.merging.gossip import Gossip
from troupe.learning.merging.models import fault_of

ANSWER_WITHIN_S = 30.0
"""How long a learner waits for a neighbour before it goes on alone."""

Parameters = dict[str, npt.NDArray[Any]]

Faults = Mapping[int, str]
"""What is wrong with what learners sent, by their numbers."""


@dataclass(frozen=True)
class Report:
    """What a learner did since its last report.

    Attributes:
        improvements: one for each update.
        parameters: what it came to.
        state: from which it could go on.
        ignored: what was wrong with others' models, by their numbers.
        lag: mean number of steps that others made meanwhile, before its own were applied.
        unanswered: how often another did not answer.
    """

    improvements: tuple[Improvement, ...]
    parameters: Parameters
    state: Parameters
    ignored: Faults = field(default_factory=dict)
    lag: float = 0.0
    unanswered: int = 0

    @property
    def steps(self) -> int:
        """Steps that were learned from."""
        return sum(improvement.steps for improvement in self.improvements)

    def model(self, peer: int) -> Model:
        """Return the model that the learner of a number sent."""
        return Model(peer, self.parameters, self.steps)


class Peer:
    """A learner with a process of its own."""

    def __init__(self, make: MakeLocalModel, number: int) -> None:
        """Build the local model.

        Args:
            make: makes it.
            number: of this learner.
        """
        threadpool_limits(1)
        self._number = number
        self._local: LocalModel = make(number)
        self._offered = Model(number, self._local.parameters())

    def whereabout(self) -> Whereabout:
        """Return the host and the id of the process."""
        return here()

    def start(self, state: Arrays | None) -> None:
        """Go on from a state, or from the beginning."""
        if state is not None:
            self._local.restore(state)
        self._offer(0)

    def parameters(self) -> Parameters:
        """Return the present parameters."""
        return self._local.parameters()

    def adopt(self, parameters: Arrays) -> None:
        """Replace the parameters."""
        self._local.adopt(parameters)
        self._offer(0)

    def improve(self, updates: int) -> Report:
        """Make updates alone."""
        improvements = tuple(self._local.improve() for _ in range(updates))
        return self._report(improvements)

    def begin(self) -> tuple[Parameters, bool]:
        """Begin an update and return its statistics, and that they are there."""
        return self._local.begin(), True

    def agree(self, merge: Merge, numbers: Sequence[int], *statistics: Arrays) -> int:
        """Take up the mean of learners' statistics and return the number of minibatches."""
        return self._local.agree(mean_of(merge, numbers, statistics).parameters)

    def gradients(self, minibatch: int) -> tuple[Parameters, bool]:
        """Return the gradients of a minibatch, and that they are there."""
        return self._local.gradients(minibatch), True

    def apply(self, merge: Merge, numbers: Sequence[int], *gradients: Arrays) -> Faults:
        """Take a step along the mean of learners' gradients, and return what is wrong with some."""
        mean = mean_of(merge, numbers, gradients)
        self._local.apply(mean.parameters)
        return mean.ignored

    def finish(self) -> Report:
        """End the update."""
        return self._report((self._local.finish(),))

    def gossip(self, merge: Gossip, updates: int, others: Mapping[int, Any], number: int) -> Report:
        """Make updates, then merge the model of one neighbour into the own one.

        Args:
            merge: chooses and merges.
            updates: to make first.
            others: actors of the other learners, by their numbers.
            number: of this exchange.
        """
        report = self.improve(updates)
        own = self._offer(report.steps)
        found: list[Model] = []
        if others:
            other = merge.neighbour(self._number, list(others), number)
            found = ask(others[other])
        merged = merge_aligned(merge, self._local, own, found, number)
        self._local.adopt(merged.parameters)
        self._offer(report.steps)
        state = self._local.state()
        unanswered = int(bool(others) and not found)
        return Report(
            report.improvements, merged.parameters, state, merged.ignored, unanswered=unanswered
        )

    @ray.method(concurrency_group="answer")
    def offer(self) -> Model:
        """Return the newest model; others may ask while an update is made."""
        return self._offered

    def catch_up(self, other: Any) -> bool:
        """Go on with the model of a neighbour; return whether it answered."""
        found = ask(other)
        if found:
            self.adopt(found[0].parameters)
        return bool(found)

    def work_for(self, server: Any, updates: int) -> Report | None:
        """Make updates whose steps a parameter server takes; None if that is lost.

        Args:
            server: its actor.
            updates: to make.
        """
        improvements: list[Improvement] = []
        lags: list[int] = []
        try:
            newest, version = ray.get(server.newest.remote())
            for _ in range(updates):
                self._local.adopt(newest)
                statistics = self._local.begin()
                newest, version = ray.get(server.agree.remote(statistics))
                for minibatch in range(self._local.agree(statistics)):
                    self._local.adopt(newest)
                    gradients = self._local.gradients(minibatch)
                    pushed = server.push.remote(self._number, gradients)
                    newest, newer = ray.get(pushed)
                    lags.append(newer - 1 - version)
                    version = newer
                improvements.append(self._local.finish())
            self._local.adopt(newest)
        except LOST:
            return None
        return self._report(tuple(improvements), lag=sum(lags) / max(1, len(lags)))

    def _report(self, improvements: tuple[Improvement, ...], lag: float = 0.0) -> Report:
        return Report(improvements, self._local.parameters(), self._local.state(), lag=lag)

    def _offer(self, steps: int) -> Model:
        self._offered = Model(self._number, self._local.parameters(), steps)
        return self._offered


def ask(other: Any) -> list[Model]:
    """Return what another learner offers, nothing if it does not answer."""
    try:
        model: Model = ray.get(other.offer.remote(), timeout=ANSWER_WITHIN_S)
    except (*LOST, GetTimeoutError):
        return []
    return [model]


def merge_aligned(
    merge: Merge, local: LocalModel, own: Model, peers: Sequence[Model], number: int
) -> Merged:
    """Return the merge of models that are made comparable before.

    Raises:
        TooFewModels: if not enough of them can be used.
    """
    faults = {m.peer: fault_of(m.parameters, own.parameters) for m in peers}
    sound = [m for m in peers if not faults[m.peer]]
    with np.errstate(all="ignore"):  # of garbage that is finite; the merge looks at it again
        found = local.aligned([own.parameters, *(m.parameters for m in sound)])
    aligned = [replace(m, parameters=p) for m, p in zip([own, *sound], found, strict=True)]
    unsound = [m for m in peers if faults[m.peer]]
    return merge.merge(aligned[0], [*aligned[1:], *unsound], number)


def mean_of(merge: Merge, numbers: Sequence[int], arrays: Sequence[Arrays]) -> Merged:
    """Return the mean of learners' gradients or statistics, which count alike.

    Args:
        merge: takes the mean.
        numbers: of the learners.
        arrays: of each.
    """
    models = [Model(n, a, steps=1) for n, a in zip(numbers, arrays, strict=True)]
    sound = next((a for a in arrays if not fault_of(a, a)), arrays[0])
    return merge.merge(Model(-1, sound), models, 0)
