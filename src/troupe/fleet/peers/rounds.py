"""Rounds: all learn for a while, one model is made of all, and all go on from that."""

from __future__ import annotations

from collections.abc import Mapping

import numpy as np
import ray

from troupe.fleet.peers.exchange import Outcome, Parameters
from troupe.fleet.peers.local import Arrays, LocalModel
from troupe.fleet.peers.pool import Pool, call
from troupe.fleet.peers.process import merge_aligned
from troupe.learning.merging import Merge, Merged, Model, TooFewModels
from troupe.learning.merging.models import usable

COMMON = -1
"""Number of the model that all began a round from."""


class Rounds:
    """Models are pulled, merged into one, and broadcast.

    Attributes:
        pool: the learners.
        parameters: the common model.
    """

    def __init__(self, pool: Pool, common: LocalModel, merge: Merge, every: int) -> None:
        """Begin with a common model.

        Args:
            pool: the learners.
            common: a model that gathers no experience, from which all begin.
            merge: makes one model of many.
            every: updates of each learner in a round.
        """
        self.pool = pool
        self.parameters = common.parameters()
        self._common = common
        self._merge = merge
        self._every = every
        self._round = 0
        self._is_new = True

    def step(self) -> Outcome:
        # who is new begins from the common model, as all do after a round
        shared = ray.put(self.parameters)
        admitted = self.pool.admit(everybody=self._is_new)
        for actor in (self.pool.actors if self._is_new else admitted).values():
            actor.adopt.remote(shared)
        self._is_new = False
        # learn
        actors = self.pool.actors
        reports = self.pool.gather(call(actors, lambda actor: actor.improve.remote(self._every)))
        self.pool.states |= {number: report.state for number, report in reports.items()}
        # merge
        own = Model(COMMON, self.parameters)
        models = [report.model(number) for number, report in reports.items()]
        skipped = ""
        try:
            merged = merge_aligned(self._merge, self._common, own, models, self._round)
        except TooFewModels as error:
            merged, skipped = Merged(dict(self.parameters), usable(own, models)[1]), str(error)
        self._round += 1
        # broadcast
        self.parameters = merged.parameters
        shared = ray.put(self.parameters)
        for actor in self.pool.actors.values():
            actor.adopt.remote(shared)
        sent = {number: report.parameters for number, report in reports.items()}
        return Outcome.of(reports, sent, self._common, merged.ignored, skipped)

    def state(self) -> dict[str, Parameters]:
        counters = {"round": np.asarray(self._round)}
        return {"common": self.parameters, "merge": self._merge.state(), "rounds": counters}

    def restore(self, groups: Mapping[str, Arrays]) -> None:
        self.parameters = {name: np.array(values) for name, values in groups["common"].items()}
        self._merge.restore(groups.get("merge", {}))
        self._round = int(groups["rounds"]["round"])

    def close(self) -> None:
        return
