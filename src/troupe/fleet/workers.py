"""Workers: what the learner's loop needs of the actors, wherever they run."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any, Protocol

import numpy as np
import numpy.typing as npt
from threadpoolctl import ThreadpoolController

from troupe.core.arrays import ArraySpec
from troupe.episodes import Backlog
from troupe.experiments.schema import Experiment
from troupe.experiments.simulation import NONE, Simulation
from troupe.fleet.division import Snapshot
from troupe.fleet.journal import Journal
from troupe.fleet.sampler import Sample, Sampler
from troupe.policies import MlpPolicy


class Workers(Protocol):
    """All instances of an experiment, stepped somewhere.

    Attributes:
        observation_spec: of one instance.
        action_spec: of one instance.
        metric_names: of an episode's figures.
        backlog: steps that have arrived and wait to be returned by `sample`.
        arrived: steps that were sampled since the start and are here.
        lost: further steps, which died with a worker before they arrived, at most.
    """

    observation_spec: ArraySpec
    action_spec: ArraySpec
    metric_names: tuple[str, ...]
    backlog: Backlog
    arrived: int
    lost: int

    def start(self, noise_size: int) -> None:
        """Begin the first episodes."""

    def sample(self, policy: MlpPolicy, num_steps: int) -> Sample:
        """Return the next steps of all instances, and what ended or failed in them."""

    def settle(self) -> list[Sample]:
        """End what is under way; its steps join the backlog, its episodes are returned."""

    def owners(self, instances: npt.NDArray[np.int64]) -> npt.NDArray[np.int64]:
        """Return the number of the worker that steps each instance, by global id."""

    def follow(self, journal: Journal) -> None:
        """Sample first what a journal holds, and keep there what arrives from now on."""

    def notices(self) -> list[str]:
        """Return what a run's log should say, each line once."""

    def processes(self) -> list[dict[str, Any]]:
        """Return where each worker's process runs: ``worker``, ``host`` and ``process``."""

    def report(self) -> list[dict[str, Any]]:
        """Return figures of each worker by name, ``restarts`` among them."""

    def snapshot(self) -> Snapshot:
        """Return the exact state of all instances, in the order of their global ids."""

    def restore(self, snapshot: Mapping[str, npt.NDArray[Any]]) -> None:
        """Go on from a snapshot, also of another number of workers."""

    def close(self) -> None:
        """Release everything; may be called again."""


class LocalWorkers:
    """All instances in this process, on native threads."""

    def __init__(self, experiment: Experiment) -> None:
        """Build the simulation."""
        self._experiment = experiment
        self._simulation = Simulation(experiment, experiment.fleet.instances, seed=experiment.seed)
        self.observation_spec = self._simulation.observation_spec
        self.action_spec = self._simulation.action_spec
        self.metric_names = tuple(self._simulation.figures(NONE))
        self.backlog = Backlog()
        self.arrived = 0
        self.lost = 0
        self._blas = ThreadpoolController()

    def start(self, noise_size: int) -> None:
        """Begin the first episodes."""
        self._sampler = Sampler(self._simulation, self._experiment.seed, noise_size)

    def sample(self, policy: MlpPolicy, num_steps: int) -> Sample:
        """Return the next steps of all instances, and what ended or failed in them."""
        # on several threads BLAS rounds the products of wide layers differently
        with self._blas.limit(limits=1):
            self._sampler.policies.newest = policy
            sample = self._sampler.sample(num_steps)
        self.arrived += sample.fragment.num_steps
        return sample

    def settle(self) -> list[Sample]:
        """Nothing is under way between two samples."""
        return []

    def owners(self, instances: npt.NDArray[np.int64]) -> npt.NDArray[np.int64]:
        """Return the number of the worker that steps each instance, by global id."""
        return np.zeros_like(instances)

    def follow(self, journal: Journal) -> None:
        """Nothing is kept: what dies with this process is sampled again, bit for bit."""

    def notices(self) -> list[str]:
        """Return what a run's log should say, each line once."""
        return []

    def processes(self) -> list[dict[str, Any]]:
        """There are none beside this one."""
        return []

    def report(self) -> list[dict[str, Any]]:
        """There are no workers beside this process."""
        return []

    def snapshot(self) -> Snapshot:
        """Return the exact state of all instances."""
        return self._sampler.snapshot()

    def restore(self, snapshot: Mapping[str, npt.NDArray[Any]]) -> None:
        """Go on from a snapshot."""
        self._sampler.restore(snapshot)

    def close(self) -> None:
        """Close the simulation."""
        self._simulation.close()


def make_workers(experiment: Experiment) -> Workers:
    """Return workers as the experiment's fleet settings say: in this process, or on Ray."""
    if experiment.fleet.workers == 0:
        return LocalWorkers(experiment)
    if experiment.fleet.mode == "synchronous":
        from troupe.fleet.synchronous import SynchronousWorkers

        return SynchronousWorkers(experiment)
    from troupe.fleet.asynchronous import AsynchronousWorkers

    return AsynchronousWorkers(experiment)
