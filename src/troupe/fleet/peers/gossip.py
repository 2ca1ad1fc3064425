"""Gossip: learners exchange models with each other, without a centre and without waiting."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

import numpy as np
import ray

from troupe.fleet.peers.exchange import Outcome, Parameters
from troupe.fleet.peers.local import Arrays, LocalModel
from troupe.fleet.peers.own_pace import OwnPace
from troupe.fleet.peers.pool import Pool
from troupe.fleet.peers.process import merge_aligned
from troupe.learning.merging import Model
from troupe.learning.merging.average import Average
from troupe.learning.merging.gossip import Gossip

MEAN = -1
"""Number of the mean of all models."""


class Gossiping:
    """Each learner asks a neighbour for its model when it has improved its own.

    The driver tells learners whom there is to ask, counts what they report, and replaces those that
    die. A newcomer begins with a neighbour's model.

    Attributes:
        pool: the learners.
        unanswered: how often a neighbour did not answer.
    """

    def __init__(self, pool: Pool, common: LocalModel, merge: Gossip, every: int) -> None:
        """Begin with what the learners have.

        Args:
            pool: the learners.
            common: a model that gathers no experience.
            merge: chooses neighbours, and merges their models.
            every: updates between two exchanges of a learner.
        """
        self.pool = pool
        self.unanswered = 0
        self._common = common
        self._merge = ray.put(merge)
        self._every = every
        self._pace = OwnPace(pool, self._send)
        self._known: set[int] = set()
        self._exchanges: dict[int, int] = {}
        self._models: dict[int, Parameters] = {}

    @property
    def parameters(self) -> Parameters:
        """The mean of the learners' last models."""
        own = Model(MEAN, self._common.parameters())
        models = [Model(number, parameters) for number, parameters in self._models.items()]
        return (
            merge_aligned(Average(), self._common, own, models, 0).parameters
            if models
            else dict(own.parameters)
        )

    def step(self) -> Outcome:
        number, report = self._pace.next()
        self.pool.states[number] = report.state
        self._models[number] = report.parameters
        self.unanswered += report.unanswered
        return Outcome.of({number: report}, self._models, self._common, report.ignored)

    def join(self, number: int) -> None:
        """Let another learner join, with the model of one that is there."""
        self.pool.add(number)

    def leave(self, number: int) -> None:
        """Let a learner go; the others go on without it."""
        self.pool.remove(number)
        self._models.pop(number, None)
        self._known.discard(number)

    def state(self) -> dict[str, Parameters]:
        numbers = np.array(sorted(self._exchanges), np.int64)
        counts = np.array([self._exchanges[n] for n in sorted(self._exchanges)], np.int64)
        return {"gossip": {"learner": numbers, "exchanges": counts}, "common": self.parameters}

    def restore(self, groups: Mapping[str, Arrays]) -> None:
        found = groups["gossip"]
        pairs = zip(found["learner"].tolist(), found["exchanges"].tolist(), strict=True)
        self._exchanges = dict(pairs)
        self._common.adopt(groups["common"])
        self._known = set(self._exchanges)

    def close(self) -> None:
        return

    def _send(self, number: int, actor: Any) -> Any:
        others = {n: other for n, other in self.pool.actors.items() if n != number}
        exchange = self._exchanges[number] = self._exchanges.get(number, -1) + 1
        if others and self._models and number not in self._known:
            catch_up = others[next((n for n in others if n in self._known), next(iter(others)))]
            actor.catch_up.remote(catch_up)
        self._known.add(number)
        return actor.gossip.remote(self._merge, self._every, others, exchange)
