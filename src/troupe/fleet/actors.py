"""Workers on Ray: each an actor process with its own range of instances."""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from typing import Any

import numpy.typing as npt
import ray
from ray.exceptions import ObjectLostError, OutOfMemoryError, RayActorError

from troupe.core.errors import TroupeError
from troupe.experiments.schema import Experiment
from troupe.experiments.simulation import specs
from troupe.fleet.actor import Actor
from troupe.fleet.cluster import connect
from troupe.fleet.division import (
    Snapshot,
    check_division,
    divide,
    join_samples,
    join_snapshots,
    split_snapshot,
)
from troupe.fleet.sampler import Sample
from troupe.policies import MlpPolicy

MAX_RESTARTS_IN_A_ROW = 5
LOST = (RayActorError, OutOfMemoryError, ObjectLostError)
"""What an actor, or the result that it had on its machine, is lost with."""


class RayWorkers:
    """An experiment's instances, divided over actors on this machine or a Ray cluster.

    The actors sample the same fragments as one process would, whatever their number. One that dies
    is replaced, goes on from the snapshot before its last fragment, and samples that again.
    """

    def __init__(self, experiment: Experiment) -> None:
        """Connect to Ray and let the actors start; `start` waits for them.

        Raises:
            UserError: if anything is wrong with the experiment, there are more workers than
                instances, or the address does not answer.
        """
        fleet = experiment.fleet
        check_division(fleet)
        self.observation_spec, self.action_spec, self.metric_names = specs(experiment)
        self._started_ray = connect(fleet.address)
        self.restarts = 0
        self._ranges = divide(fleet.instances, fleet.workers)
        self._description = experiment.resolved()
        self._actor_class = ray.remote(
            num_cpus=_share_of_cores(fleet.workers),
            scheduling_strategy="DEFAULT",  # anywhere, also where a sweep's trial starts them
        )(Actor)
        self._actors = [self._new_actor(worker) for worker in range(fleet.workers)]
        self._snapshots: list[Snapshot] = []

    def start(self, noise_size: int) -> None:
        """Begin the first episodes."""
        self._noise_size = noise_size
        self._snapshots = self._get([a.start.remote(noise_size) for a in self._actors])

    def sample(self, policy: MlpPolicy, num_steps: int) -> Sample:
        """Return the next steps of all instances, and what ended or failed in them."""
        shared = ray.put(policy)
        pending = [actor.sample.remote(shared, num_steps) for actor in self._actors]
        samples = []
        for worker, reference in enumerate(pending):
            sample, snapshot = self._sample_surely(worker, reference, shared, num_steps)
            samples.append(sample)
            self._snapshots[worker] = snapshot
        return join_samples(samples)

    def snapshot(self) -> Snapshot:
        """Return the exact state of all instances, in the order of their global ids."""
        return join_snapshots(self._snapshots)

    def restore(self, snapshot: Mapping[str, npt.NDArray[Any]]) -> None:
        """Go on from a snapshot, also of another number of workers."""
        parts = split_snapshot(snapshot, self._ranges)
        starts = [
            actor.start.remote(self._noise_size, part)
            for actor, part in zip(self._actors, parts, strict=True)
        ]
        self._snapshots = self._get(starts)

    def close(self) -> None:
        """End the actors, and Ray if it was started here."""
        for actor in self._actors:
            ray.kill(actor)
        self._actors = []
        if self._started_ray:
            ray.shutdown()
            self._started_ray = False

    def _new_actor(self, worker: int) -> Any:
        first, last = self._ranges[worker]
        return self._actor_class.remote(self._description, first, last - first)

    def _sample_surely(
        self, worker: int, reference: Any, policy: Any, num_steps: int
    ) -> tuple[Sample, Snapshot]:
        """Return what a worker samples; one that dies is replaced and samples it again."""
        for _ in range(MAX_RESTARTS_IN_A_ROW):
            try:
                result: tuple[Sample, Snapshot] = ray.get(reference)
            except LOST:
                self.restarts += 1
                ray.kill(self._actors[worker])
                actor = self._actors[worker] = self._new_actor(worker)
                actor.start.remote(self._noise_size, self._snapshots[worker])
                reference = actor.sample.remote(policy, num_steps)
            else:
                return result
        raise TroupeError(
            f"worker {worker} died {MAX_RESTARTS_IN_A_ROW} times in a row at the same steps."
        )

    def _get(self, references: Sequence[Any]) -> list[Any]:
        try:
            results: list[Any] = ray.get(list(references))
        except LOST as error:
            raise TroupeError(f"a worker could not start: {error}") from error
        return results


def _share_of_cores(workers: int) -> float:
    """Return how many of the cluster's cores to ask for, so that all workers have a place."""
    cores = float(ray.cluster_resources().get("CPU", 1))
    # Ray counts in units of 0.0001
    return min(1.0, math.floor(1e4 * cores / workers) / 1e4)
