"""All learners' processes: those that work, those that join, and what replaces the dead."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from typing import Any

import ray

from troupe.core.errors import TroupeError
from troupe.fleet.actors import LOST
from troupe.fleet.nodes import free_cores, share_of_cores, wait_for_places
from troupe.fleet.peers.local import Arrays, MakeLocalModel, of_others
from troupe.fleet.peers.process import Peer
from troupe.fleet.whereabouts import Whereabouts

MAX_LOSSES_IN_A_ROW = 5

ANSWER = "answer"
"""The concurrency group of the calls that reach a learner while it learns."""


class Pool:
    """Learners as Ray actors, by number.

    One that dies is replaced while the others go on; the new one joins when it is ready, from the
    last state that is known of it.

    Attributes:
        make: makes local models.
        restarts_of: how often each learner died and was replaced.
        states: the last known state of each learner.
    """

    def __init__(self, make: MakeLocalModel, numbers: Sequence[int], processes: int) -> None:
        """Let learners start; `admit` waits for the first ones.

        Args:
            make: makes local models.
            numbers: of the learners.
            processes: that share the cluster's cores, these learners among them.

        Raises:
            UserError: if the cluster has no place for them.
        """
        self.make = make
        self.restarts_of: dict[int, int] = {}
        self.states: dict[int, Arrays] = {}
        self._planned = frozenset(numbers)
        self._share = share_of_cores(processes)
        options: dict[str, Any] = {
            "num_cpus": self._share,
            "scheduling_strategy": "SPREAD",
            "concurrency_groups": {ANSWER: 1},
        }
        self._class: Any = ray.remote(**options)(Peer)
        self._ready: dict[int, Any] = {}
        self._joining: dict[int, tuple[Any, Any]] = {}
        self._losses: dict[int, int] = {}
        self._whereabouts = Whereabouts()
        wait_for_places(self._share, len(numbers), "learners")
        for number in numbers:
            self.add(number)

    @property
    def actors(self) -> Mapping[int, Any]:
        """Those that work, by number."""
        return dict(sorted(self._ready.items()))

    @property
    def restarts(self) -> int:
        """How often learners died and were replaced."""
        return sum(self.restarts_of.values())

    def add(self, number: int) -> None:
        """Let a learner start, from its last known state, or else from another's."""
        state = self.states.get(number)
        if state is None and self.states:
            state = of_others(next(iter(self.states.values())))
        # one more than was planned for takes what is free
        planned = number in self._planned
        share = self._share if planned else min(self._share, free_cores())
        actor = self._class.options(num_cpus=share).remote(self.make, number)
        answer = actor.whereabout.options(concurrency_group=ANSWER).remote()
        self._whereabouts.expect(number, answer)
        self._joining[number] = actor, actor.start.remote(state)

    def processes(self) -> list[dict[str, Any]]:
        """Return the host and process id of each learner that has told them."""
        return [
            {"learner": number, "host": host, "process": process}
            for number, (host, process) in self._whereabouts.known().items()
        ]

    def restore(self, states: Mapping[int, Arrays]) -> None:
        """Let learners go on from states, before anything else is asked of them."""
        self.states = dict(states)
        for number, state in states.items():
            if number in self._ready:
                self._ready[number].start.remote(state)
            elif number in self._joining:
                actor, _ = self._joining[number]
                self._joining[number] = actor, actor.start.remote(state)

    def remove(self, number: int) -> None:
        """Let a learner go."""
        for actor in self._forget(number):
            ray.kill(actor)
        self.states.pop(number, None)

    def admit(self, *, everybody: bool = False) -> dict[int, Any]:
        """Return the actors that are ready now and were not before; wait if there are no others.

        Args:
            everybody: whether to wait for all that start.

        Raises:
            TroupeError: if a learner cannot be started.
        """
        admitted: dict[int, Any] = {}
        while self._joining and (everybody or not self._ready):
            references = [reference for _, reference in self._joining.values()]
            ray.wait(references, num_returns=len(references) if everybody else 1)
            admitted |= self._admit_ready()
        return {**admitted, **self._admit_ready()}

    def gather(self, references: Mapping[int, Any]) -> dict[int, Any]:
        """Return what learners' references hold, in order; those that died are replaced."""
        results = {}
        for number, reference in references.items():
            try:
                results[number] = ray.get(reference)
            except LOST:
                self.replace(number)
            else:
                self._losses.pop(number, None)
        return dict(sorted(results.items()))

    def replace(self, number: int) -> None:
        """Replace a learner that died.

        Raises:
            TroupeError: if it has died several times in a row.
        """
        self.restarts_of[number] = self.restarts_of.get(number, 0) + 1
        self._losses[number] = self._losses.get(number, 0) + 1
        if self._losses[number] > MAX_LOSSES_IN_A_ROW:
            raise TroupeError(f"learner {number} died {self._losses[number]} times in a row.")
        for actor in self._forget(number):
            ray.kill(actor)
        self.add(number)

    def close(self) -> None:
        """End all learners."""
        for number in [*self._ready, *self._joining]:
            for actor in self._forget(number):
                ray.kill(actor)

    def _admit_ready(self) -> dict[int, Any]:
        admitted = {}
        for number, (actor, reference) in list(self._joining.items()):
            ready, _ = ray.wait([reference], timeout=0)
            if not ready:
                continue
            try:
                ray.get(reference)
            except LOST:
                self.replace(number)
                continue
            del self._joining[number]
            self._ready[number] = admitted[number] = actor
        return admitted

    def _forget(self, number: int) -> list[Any]:
        actors = [self._ready.pop(number, None), self._joining.pop(number, (None,))[0]]
        return [actor for actor in actors if actor is not None]


def call(actors: Mapping[int, Any], send: Callable[[Any], Any]) -> dict[int, Any]:
    """Return the references of what is sent to all actors, by their numbers."""
    return {number: send(actor) for number, actor in actors.items()}
