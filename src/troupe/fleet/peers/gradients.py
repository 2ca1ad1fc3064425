"""All-reduce: learners make each update together, and all take the same steps."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

import numpy as np
import ray

from troupe.fleet.peers.exchange import Outcome, Parameters
from troupe.fleet.peers.local import Arrays, LocalModel, of_others
from troupe.fleet.peers.pool import Pool, call
from troupe.fleet.peers.process import Report
from troupe.learning.merging import Merge


class AllReduce:
    """Each learner gives its gradients to all others, and all take their mean.

    Gradients go from learner to learner; the driver only says whose.

    Attributes:
        pool: the learners.
        parameters: of all learners, which are alike.
    """

    def __init__(self, pool: Pool, common: LocalModel, merge: Merge) -> None:
        """Begin with a common model.

        Args:
            pool: the learners.
            common: a model that gathers no experience, from which all begin.
            merge: takes the mean.
        """
        self.pool = pool
        self.parameters = common.parameters()
        self._common = common
        self._merge = ray.put(merge)
        self._is_new = True
        self._ignored: dict[int, str] = {}

    def step(self) -> Outcome:
        self._admit()
        reports: dict[int, Report] = {}
        while not reports:
            reports = self._update()
        self.pool.states |= {number: report.state for number, report in reports.items()}
        self.parameters = next(iter(reports.values())).parameters
        sent = {number: report.parameters for number, report in reports.items()}
        return Outcome.of(reports, sent, self._common, self._ignored)

    def state(self) -> dict[str, Parameters]:
        return {"common": self.parameters}

    def restore(self, groups: Mapping[str, Arrays]) -> None:
        self.parameters = {name: np.array(values) for name, values in groups["common"].items()}

    def close(self) -> None:
        return

    def _admit(self) -> None:
        """Let those that are new go on from exactly where the others are."""
        admitted = self.pool.admit(everybody=self._is_new)
        if not self._is_new and self.pool.states:
            known = {n: s for n, s in self.pool.states.items() if n not in admitted}
            alike = of_others(next(iter((known or self.pool.states).values())))
            for actor in admitted.values():
                actor.start.remote(alike)
                actor.adopt.remote(self.parameters)
        self._is_new = False

    def _update(self) -> dict[int, Report]:
        """Make an update together; of no learner if all died."""
        actors = dict(self.pool.actors)
        self._ignored = {}
        statistics = gather_each(self.pool, actors, "begin")
        counts = share(self.pool, actors, self._merge, statistics, "agree")
        for minibatch in range(max(counts.values(), default=0)):
            gradients = gather_each(self.pool, actors, "gradients", minibatch)
            found = share(self.pool, actors, self._merge, gradients, "apply")
            self._ignored |= next(iter(found.values()), {})
        return self.pool.gather(
            call(living(self.pool, actors), lambda actor: actor.finish.remote())
        )


def two(method: Any, *arguments: Any) -> Any:
    """Call a method whose result is arrays, which stay where they are, and a sign that it is."""
    return method.options(num_returns=2).remote(*arguments)


def living(pool: Pool, actors: Mapping[int, Any]) -> dict[int, Any]:
    """Return those of actors that have not been replaced since."""
    return {n: actor for n, actor in actors.items() if pool.actors.get(n) is actor}


def gather_each(
    pool: Pool, actors: Mapping[int, Any], method: str, *arguments: Any
) -> dict[int, Any]:
    """Return the references of arrays that actors make, in order, of those that made them."""

    def send(actor: Any) -> Any:
        return two(getattr(actor, method), *arguments)

    pairs = call(living(pool, actors), send)
    made = pool.gather({number: sign for number, (_, sign) in pairs.items()})
    return {number: pairs[number][0] for number in made}


def share(
    pool: Pool, actors: Mapping[int, Any], merge: Any, arrays: Mapping[int, Any], method: str
) -> dict[int, Any]:
    """Give all actors what each of them made, and return what they say.

    Args:
        pool: the learners.
        actors: of them, those that take part.
        merge: reference of what merges the arrays.
        arrays: references by learner.
        method: of the actors.
    """
    if not arrays:
        return {}

    def send(actor: Any) -> Any:
        return getattr(actor, method).remote(merge, list(arrays), *arrays.values())

    return pool.gather(call(living(pool, actors), send))
