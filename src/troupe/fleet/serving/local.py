"""The link to instances on this machine, in this process or in others."""

from __future__ import annotations

from typing import Any, Protocol

import numpy as np
import numpy.typing as npt

from troupe.core.arrays import Ids
from troupe.fleet.serving.batch import Batch
from troupe.fleet.serving.group import Answer, Command, Seed
from troupe.fleet.serving.here import HereCrew
from troupe.fleet.serving.plan import Plan, build_groups
from troupe.fleet.serving.spec import FleetSpec

Arrival = tuple[int, Batch]
"""The generation of a result, and the result."""


class Link(Protocol):
    """The way to a fleet's instances.

    Attributes:
        spec: what the fleet offers.
    """

    spec: FleetSpec

    def reset(self, seed: Seed, generation: int) -> None:
        """Begin episodes in all instances, whatever they do; their results tell the generation."""

    def send(self, actions: npt.NDArray[Any], ids: Ids) -> None:
        """Give waiting instances actions that have been checked; waits where too many are."""

    def receive(self, timeout_s: float | None) -> list[Arrival]:
        """Wait for the next results and return those that are there; none after the timeout.

        Raises:
            TroupeError: if the instances cannot go on.
        """

    def close(self) -> None:
        """End what the link has started; may be called again."""


class Crew(Protocol):
    """Those who step groups."""

    def post(self, command: Command) -> None:
        """Give a group a command; it does its commands one after the other."""

    def collect(self, timeout_s: float | None) -> list[Answer]:
        """Return the answers that have come; wait for the first one, and for so long."""

    def close(self) -> None:
        """End those who step."""


class LocalLink:
    """Puts actions together until a group has them all.

    One thread may send while another one receives.
    """

    def __init__(self, plan: Plan) -> None:
        """Start who steps the instances.

        Raises:
            UserError: if anything in the experiment's engines or task is wrong.
            TroupeError: if a process does not start.
        """
        self._crew, self.spec = _start(plan)
        self._group_of = self.spec.group_of
        self._sizes = np.diff(self.spec.bounds)
        self._num_given = np.zeros_like(self._sizes)
        shape = (self.spec.num_instances, *self.spec.action.shape)
        self._actions = np.zeros(shape, self.spec.action_array(0).dtype)
        self._generation = 0

    def reset(self, seed: Seed, generation: int) -> None:
        """Let every group begin episodes after the step that it does."""
        self._generation = generation
        self._num_given[:] = 0
        for group, first in enumerate(self.spec.bounds[:-1]):
            last = self.spec.bounds[group + 1]
            own = seed if seed is None or isinstance(seed, int) else seed[first:last]
            self._crew.post(Command("reset", group, generation, seed=own))

    def send(self, actions: npt.NDArray[Any], ids: Ids) -> None:
        """Let the groups step whose instances have all been given actions."""
        self._actions[ids] = actions
        groups, counts = np.unique(self._group_of[ids], return_counts=True)
        self._num_given[groups] += counts
        for group in groups[self._num_given[groups] == self._sizes[groups]].tolist():
            self._num_given[group] = 0
            first, last = self.spec.bounds[group : group + 2]
            action = self._actions[first:last].copy()
            self._crew.post(Command("step", group, self._generation, action=action))

    def receive(self, timeout_s: float | None) -> list[Arrival]:
        """Return the results of groups."""
        answers = self._crew.collect(timeout_s)
        return [(answer.generation, answer.batch) for answer in answers]

    def close(self) -> None:
        """End who steps the instances."""
        self._crew.close()


def _start(plan: Plan) -> tuple[Crew, FleetSpec]:
    if plan.experiment.fleet.workers:
        from troupe.fleet.serving.processes import ProcessCrew

        crew = ProcessCrew(plan)
        return crew, crew.spec
    (part,) = plan.parts
    num_threads = 0 if len(part.bounds) == 2 else 1
    groups = build_groups(plan.experiment, part, plan.seed, num_threads=num_threads)
    return HereCrew(groups), plan.spec(groups[0].simulation)
