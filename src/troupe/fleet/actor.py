"""An actor's process: its own range of instances, sampled fragment by fragment. Imports no JAX."""

from __future__ import annotations

from typing import Any

from threadpoolctl import threadpool_limits

from troupe.experiments.load import Description, build_experiment
from troupe.experiments.simulation import Simulation
from troupe.fleet.sampler import Sample, Sampler
from troupe.policies import MlpPolicy

Snapshot = dict[str, Any]


class Actor:
    """Steps a range of an experiment's instances on one native thread."""

    def __init__(self, description: Description, first_instance: int, num_instances: int) -> None:
        """Build the simulation of the range.

        Args:
            description: the resolved experiment, as plain values.
            first_instance: global id of the first instance.
            num_instances: how many.
        """
        threadpool_limits(1)
        experiment = build_experiment(description)
        self._seed = experiment.seed
        self._simulation = Simulation(
            experiment,
            num_instances,
            seed=self._seed,
            first_instance=first_instance,
            num_threads=1,
        )

    def start(self, noise_size: int, snapshot: Snapshot | None = None) -> Snapshot:
        """Begin the first episodes, or go on from a snapshot; return the present one."""
        self._sampler = Sampler(self._simulation, self._seed, noise_size)
        if snapshot is not None:
            self._sampler.restore(snapshot)
        return self._sampler.snapshot()

    def sample(self, policy: MlpPolicy, num_steps: int) -> tuple[Sample, Snapshot]:
        """Return the next steps, and the snapshot from which the steps after them follow."""
        sample = self._sampler.sample(policy, num_steps)
        return sample, self._sampler.snapshot()
