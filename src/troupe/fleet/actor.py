"""Actors: each samples its own range of instances, fragment by fragment. Imports no JAX."""

from __future__ import annotations

import socket
from collections.abc import Sequence
from typing import Any, NamedTuple

from threadpoolctl import threadpool_limits

from troupe import __version__
from troupe.core.errors import UserError
from troupe.experiments.load import Description, build_experiment
from troupe.experiments.simulation import Simulation
from troupe.fleet.sampler import Sample, Sampler
from troupe.fleet.whereabouts import Whereabout, here
from troupe.policies import MlpPolicy

Snapshot = dict[str, Any]

CONTROL = "control"
"""The concurrency group of the calls that reach an actor while it samples."""


class Part(NamedTuple):
    """What one actor samples.

    Attributes:
        first_instance: global id of the first instance.
        num_instances: how many.
        slowdown: factor on the engines' declared step time.
    """

    first_instance: int
    num_instances: int
    slowdown: float


class ActorProcess:
    """The process of one actor, or of several that each sample on a thread of their own.

    Calls name the actor by its place in the process.
    """

    def __init__(self, description: Description, parts: Sequence[Part], version: str) -> None:
        """Build the simulations.

        Args:
            description: the resolved experiment, as plain values.
            parts: of the actors.
            version: of Troupe, where the learner runs.

        Raises:
            UserError: if this machine has another version of Troupe.
        """
        if version != __version__:
            raise UserError(
                f"machine '{socket.gethostname()}' has Troupe {__version__}, "
                f"and the learner's Troupe {version}"
            )
        self._actors = [Actor(description, *part) for part in parts]

    def whereabout(self) -> Whereabout:
        """Return the host and the id of the process."""
        return here()

    def start(self, place: int, noise_size: int, snapshot: Snapshot | None) -> Snapshot:
        """Let an actor begin; see `Actor.start`."""
        return self._actors[place].start(noise_size, snapshot)

    def sample(
        self, place: int, policy: MlpPolicy, num_steps: int, call: int
    ) -> tuple[Sample | None, Snapshot]:
        """Return an actor's next steps; see `Actor.sample`."""
        return self._actors[place].sample(policy, num_steps, call)

    def adopt(self, place: int, policy: MlpPolicy) -> None:
        """Give an actor a newer policy; see `Actor.adopt`."""
        self._actors[place].adopt(policy)

    def cut(self, place: int, call: int) -> None:
        """End an actor's fragment; see `Actor.cut`."""
        self._actors[place].cut(call)


class Actor:
    """Steps a range of an experiment's instances on one native thread."""

    def __init__(
        self,
        description: Description,
        first_instance: int,
        num_instances: int,
        slowdown: float = 1.0,
    ) -> None:
        """Build the simulation of the range.

        Args:
            description: the resolved experiment, as plain values.
            first_instance: global id of the first instance.
            num_instances: how many.
            slowdown: factor on the engines' declared step time.
        """
        threadpool_limits(1)
        experiment = build_experiment(description)
        self._seed = experiment.seed
        self._update = experiment.fleet.acting_update
        self._cut_until = -1
        self._sampler: Sampler | None = None
        self._simulation = Simulation(
            experiment,
            num_instances,
            seed=self._seed,
            first_instance=first_instance,
            num_threads=1,
            slowdown=slowdown,
        )

    def start(self, noise_size: int, snapshot: Snapshot | None = None) -> Snapshot:
        """Begin the first episodes, or go on from a snapshot; return the present one."""
        sampler = Sampler(self._simulation, self._seed, noise_size, self._update)
        if snapshot is not None:
            sampler.restore(snapshot)
        self._sampler = sampler
        return sampler.snapshot()

    def sample(
        self, policy: MlpPolicy, num_steps: int, call: int = 0
    ) -> tuple[Sample | None, Snapshot]:
        """Return the next steps, and the snapshot from which the steps after them follow.

        Args:
            policy: to act with, unless `adopt` has brought a newer one.
            num_steps: of each instance, unless `cut` ends the fragment earlier.
            call: the request's number, which grows from one to the next.
        """
        sampler = self._sampler
        assert sampler is not None, "an actor is started before it samples"
        if call <= self._cut_until:
            return None, sampler.snapshot()
        newest = sampler.policies.newest
        if newest is None or policy.version >= newest.version:
            sampler.policies.newest = policy
        sample = sampler.sample(num_steps, is_cut=lambda: call <= self._cut_until)
        return sample, sampler.snapshot()

    def adopt(self, policy: MlpPolicy) -> None:
        """Take a newer policy, also while sampling; an actor that starts gets one with `sample`."""
        if self._sampler is not None:
            self._sampler.policies.newest = policy

    def cut(self, call: int) -> None:
        """End the fragment that is being sampled after its present step, up to a request."""
        self._cut_until = call
