"""Learners of digits that exchange within one process: the same merges, without any waiting."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass

import numpy as np

from benchmarks.collecting.digits import Arrays, Digits, DigitsSettings, accuracy
from troupe.core import Streams
from troupe.fleet.peers.local import SERVER
from troupe.learning.merging import Merge, MergeSettings, Model
from troupe.learning.merging.divergence import divergence

Spoil = Callable[[Arrays, Arrays, np.random.Generator], Arrays]
"""From an honest model, the common one and randomness to what a poisoned learner sends."""

WINDOW = 50


@dataclass(frozen=True)
class Outcome:
    """How learners fared.

    Attributes:
        accuracy: of the mean of all honest models, on digits that nobody learned from.
        worst: of the honest learners' models.
        divergence: mean over the last exchanges, before merging.
    """

    accuracy: float
    worst: float
    divergence: float


def learn(
    settings: DigitsSettings,
    merge: MergeSettings,
    updates: int,
    *,
    loss: float = 0.0,
    poisoned: int = 0,
    spoil: Spoil | None = None,
    central_every: int = 0,
) -> Outcome:
    """Let learners improve and exchange, and return how they fared.

    Args:
        settings: of the learners.
        merge: in rounds or between neighbours.
        updates: of each learner.
        loss: share of the messages that get lost, each on its own.
        poisoned: how many of the learners send garbage.
        spoil: what they send.
        central_every: updates after which a server averages all models, beside the merge; 0 never.
    """
    learners = [Digits(settings, number) for number in range(settings.num_learners)]
    exchange = _Exchange(settings, merge, learners, loss, poisoned, spoil)
    spread: list[float] = []
    for update in range(1, updates + 1):
        for learner in learners:
            learner.improve()
        if update % merge.every == 0 or (central_every and update % central_every == 0):
            spread.append(divergence([m.parameters() for m in learners[poisoned:]]))
        if update % merge.every == 0:
            exchange.merge(update)
        if central_every and update % central_every == 0:
            exchange.average()
    honest = [learner.parameters() for learner in learners[poisoned:]]
    mean = {name: np.mean([p[name] for p in honest], axis=0) for name in honest[0]}
    return Outcome(
        accuracy(mean), min(accuracy(p) for p in honest), float(np.mean(spread[-WINDOW:]))
    )


class _Exchange:
    """One kind of exchange between learners of this process."""

    def __init__(
        self,
        settings: DigitsSettings,
        merge: MergeSettings,
        learners: Sequence[Digits],
        loss: float,
        poisoned: int,
        spoil: Spoil | None,
    ) -> None:
        self._is_central = merge.exchange == "rounds"
        self._merge: Merge = merge.build(settings.seed)
        self._learners = learners
        self._common = Digits(settings, SERVER).parameters()
        self._rng = Streams(settings.seed).generator("messages")
        self._loss, self._poisoned, self._spoil = loss, poisoned, spoil

    def merge(self, number: int) -> None:
        models = [self._sent(n, learner) for n, learner in enumerate(self._learners)]
        if self._is_central:
            arrived = [model for model in models if not self._is_lost()]
            merged = self._merge.merge(Model(SERVER, self._common), arrived, number)
            self._common = merged.parameters
            for learner in self._learners:
                if not self._is_lost():
                    learner.adopt(self._common)
            return
        for n, learner in enumerate(self._learners):
            others = [m for m in models if m.peer != n]
            chosen = self._merge.neighbour(n, [m.peer for m in others], number)  # type: ignore[attr-defined]
            heard = [m for m in others if m.peer == chosen and not self._is_lost()]
            own = Model(n, learner.parameters(), 1)
            learner.adopt(self._merge.merge(own, heard, number).parameters)

    def average(self) -> None:
        parameters = [learner.parameters() for learner in self._learners]
        mean = {name: np.mean([p[name] for p in parameters], axis=0) for name in parameters[0]}
        for learner in self._learners:
            learner.adopt(mean)

    def _sent(self, number: int, learner: Digits) -> Model:
        own = learner.parameters()
        if number < self._poisoned and self._spoil is not None:
            return Model(number, self._spoil(own, self._common, self._rng), 1)
        return Model(number, own, 1)

    def _is_lost(self) -> bool:
        return bool(self._rng.random() < self._loss)
