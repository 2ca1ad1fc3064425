"""A parameter server: one model, which takes the learners' gradients."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

import numpy as np
import ray
from threadpoolctl import threadpool_limits

from troupe.core.errors import TroupeError
from troupe.fleet.actors import LOST
from troupe.fleet.peers.exchange import Outcome, Parameters
from troupe.fleet.peers.gradients import gather_each, living, share, two
from troupe.fleet.peers.local import SERVER, Arrays, LocalModel, MakeLocalModel
from troupe.fleet.peers.own_pace import OwnPace
from troupe.fleet.peers.pool import MAX_LOSSES_IN_A_ROW, Pool, call
from troupe.fleet.peers.process import Faults, Report, mean_of
from troupe.learning.merging import Merge
from troupe.learning.merging.models import fault_of


class ParameterServer:
    """The process that holds the model."""

    def __init__(self, make: MakeLocalModel) -> None:
        """Build the model."""
        threadpool_limits(1)
        self._local = make(SERVER)
        self._version = 0
        self._ignored: dict[int, str] = {}

    def start(self, state: Arrays, parameters: Arrays) -> None:
        """Go on from a state, nothing for the beginning, with parameters that may be newer."""
        if state:
            self._local.restore(state)
        self._local.adopt(parameters)

    def newest(self) -> tuple[Parameters, int]:
        """Return the model, and how many steps it has taken."""
        return self._local.parameters(), self._version

    def agree(self, statistics: Arrays) -> tuple[Parameters, int]:
        """Take up the statistics of a learner, and return the newest model."""
        self._local.agree(statistics)
        return self.newest()

    def push(self, number: int, gradients: Arrays) -> tuple[Parameters, int]:
        """Take a step along a learner's gradients, if they can be used; return the newest model."""
        own = self._local.parameters()
        expected = {name: own[name] for name in gradients if name in own}
        if fault := fault_of(gradients, expected):
            self._ignored[number] = fault
        else:
            self._local.apply(gradients)
        self._version += 1
        return self.newest()

    def agree_all(self, merge: Merge, numbers: Sequence[int], *statistics: Arrays) -> bool:
        """Take up the mean of all learners' statistics."""
        self._local.agree(mean_of(merge, numbers, statistics).parameters)
        return True

    def step(
        self, merge: Merge, numbers: Sequence[int], *gradients: Arrays
    ) -> tuple[Parameters, bool]:
        """Take a step along the mean of all learners' gradients; return the newest model."""
        mean = mean_of(merge, numbers, gradients)
        self._ignored |= mean.ignored
        self._local.apply(mean.parameters)
        self._version += 1
        return self._local.parameters(), True

    def snapshot(self) -> tuple[Parameters, Parameters, Faults]:
        """Return state, parameters, and what was wrong with gradients since the last snapshot."""
        ignored, self._ignored = self._ignored, {}
        return self._local.state(), self._local.parameters(), ignored


class ServerHandle:
    """A parameter server that is replaced when it dies, from its last snapshot.

    Attributes:
        actor: the present one.
        parameters: of the last snapshot.
        state: of the last snapshot.
        restarts: how often it died and was replaced.
    """

    def __init__(self, make: MakeLocalModel, parameters: Parameters) -> None:
        """Start a server."""
        self.parameters = parameters
        self.state: Parameters = {}
        self.restarts = 0
        self._make = make
        self._class: Any = ray.remote(num_cpus=0)(ParameterServer)
        self._losses = 0
        self._start()

    def replace(self, parameters: Parameters | None = None) -> None:
        """Start another server, from the last snapshot, with parameters that may be newer.

        Raises:
            TroupeError: if it has died several times in a row.
        """
        self.restarts += 1
        self._losses += 1
        if self._losses > MAX_LOSSES_IN_A_ROW:
            raise TroupeError(f"the parameter server died {self._losses} times in a row.")
        ray.kill(self.actor)
        self.parameters = parameters or self.parameters
        self._start()

    def snapshot(self) -> Faults:
        """Take a snapshot; of a server that died before, once it is replaced."""
        while True:
            try:
                found = ray.get(self.actor.snapshot.remote())
            except LOST:
                self.replace()
                continue
            self.state, self.parameters, ignored = found
            self._losses = 0
            faults: Faults = ignored
            return faults

    def restore(self, state: Arrays, parameters: Arrays) -> None:
        """Go on from a state."""
        self.state = {name: np.array(values) for name, values in state.items()}
        self.parameters = {name: np.array(values) for name, values in parameters.items()}
        self.actor.start.remote(self.state, self.parameters)

    def close(self) -> None:
        """End the server."""
        ray.kill(self.actor)

    def _start(self) -> None:
        self.actor: Any = self._class.remote(self._make)
        self.actor.start.remote(self.state, self.parameters)


class Serving:
    """What both ways to use a server have in common: the server, and its state."""

    def __init__(self, pool: Pool, common: LocalModel) -> None:
        """Start the server.

        Args:
            pool: the learners.
            common: a model that gathers no experience, from which all begin.
        """
        self.pool = pool
        self._common = common
        self.server = ServerHandle(pool.make, common.parameters())

    @property
    def parameters(self) -> Parameters:
        """The server's, as of the last step."""
        return self.server.parameters

    def state(self) -> dict[str, Parameters]:
        return {"common": self.server.parameters, "server": self.server.state}

    def restore(self, groups: Mapping[str, Arrays]) -> None:
        self.server.restore(groups["server"], groups["common"])

    def close(self) -> None:
        self.server.close()


class Synchronous(Serving):
    """The server waits for the gradients of all learners, for each minibatch.

    Attributes:
        pool: the learners.
        server: that holds the model.
    """

    def __init__(self, pool: Pool, common: LocalModel, merge: Merge) -> None:
        """Start the server, whose steps follow the merged gradients."""
        super().__init__(pool, common)
        self._merge = ray.put(merge)
        self._is_new = True

    def step(self) -> Outcome:
        self.pool.admit(everybody=self._is_new)
        self._is_new = False
        reports: dict[int, Report] = {}
        while not reports:
            reports = self._update(dict(self.pool.actors))
            self.pool.admit()
        self.pool.states |= {number: report.state for number, report in reports.items()}
        ignored = self.server.snapshot()
        sent = {number: report.parameters for number, report in reports.items()}
        return Outcome.of(reports, sent, self._common, ignored)

    def _update(self, actors: dict[int, Any]) -> dict[int, Report]:
        shared = ray.put(self.parameters)
        for actor in actors.values():
            actor.adopt.remote(shared)
        statistics = gather_each(self.pool, actors, "begin")
        if not statistics:
            return {}
        self.server.actor.agree_all.remote(self._merge, list(statistics), *statistics.values())
        counts = share(self.pool, actors, self._merge, statistics, "agree")
        for minibatch in range(max(counts.values(), default=0)):
            gradients = gather_each(self.pool, actors, "gradients", minibatch)
            if not gradients:
                return {}
            parameters = self._serve(actors, gradients)
            for actor in living(self.pool, actors).values():
                actor.adopt.remote(parameters)
        return self.pool.gather(
            call(living(self.pool, actors), lambda actor: actor.finish.remote())
        )

    def _serve(self, actors: dict[int, Any], gradients: Mapping[int, Any]) -> Any:
        """Return the reference of the model after a step of the server, replaced if it died."""
        while True:
            numbers, given = list(gradients), list(gradients.values())
            parameters, sign = two(self.server.actor.step, self._merge, numbers, *given)
            try:
                ray.get(sign)
            except LOST:
                # the learners have what the server had come to
                held = self.pool.gather(
                    call(living(self.pool, actors), lambda actor: actor.parameters.remote())
                )
                self.server.replace(next(iter(held.values()), None))
                continue
            return parameters


class Asynchronous(Serving):
    """The server takes each learner's gradients as they come, as in A3C (Mnih et al., 2016).

    Attributes:
        pool: the learners.
        server: that holds the model.
    """

    def __init__(self, pool: Pool, common: LocalModel, every: int) -> None:
        """Start the server; learners report after `every` updates."""
        super().__init__(pool, common)
        self._every = every
        self._pace = OwnPace(pool, self._send)
        self._models: dict[int, Parameters] = {}

    def step(self) -> Outcome:
        while True:
            number, report = self._pace.next()
            ignored = self.server.snapshot()
            if report is not None:
                break
        self.pool.states[number] = report.state
        self._models[number] = report.parameters
        return Outcome.of({number: report}, self._models, self._common, ignored)

    def _send(self, number: int, actor: Any) -> Any:
        return actor.work_for.remote(self.server.actor, self._every)
