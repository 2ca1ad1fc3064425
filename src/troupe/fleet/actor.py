"""An actor's process: its own range of instances, sampled fragment by fragment. Imports no JAX."""

from __future__ import annotations

import os
import socket
from typing import Any

from threadpoolctl import threadpool_limits

from troupe import __version__
from troupe.core.errors import UserError
from troupe.experiments.load import Description, build_experiment
from troupe.experiments.simulation import Simulation
from troupe.fleet.sampler import Sample, Sampler
from troupe.policies import MlpPolicy

Snapshot = dict[str, Any]

CONTROL = "control"
"""The concurrency group of the calls that reach an actor while it samples."""


class Actor:
    """Steps a range of an experiment's instances on one native thread."""

    def __init__(
        self,
        description: Description,
        first_instance: int,
        num_instances: int,
        slowdown: float = 1.0,
        version: str = __version__,
    ) -> None:
        """Build the simulation of the range.

        Args:
            description: the resolved experiment, as plain values.
            first_instance: global id of the first instance.
            num_instances: how many.
            slowdown: factor on the engines' declared step time.
            version: of Troupe, where the learner runs.

        Raises:
            UserError: if this machine has another version of Troupe.
        """
        if version != __version__:
            raise UserError(
                f"machine '{socket.gethostname()}' has Troupe {__version__}, "
                f"and the learner's Troupe {version}"
            )
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

    def process(self) -> tuple[str, int]:
        """Return the host and the id of the actor's process."""
        return socket.gethostname(), os.getpid()

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
