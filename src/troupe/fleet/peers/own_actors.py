"""The actors of one learner: processes that each step a part of its instances."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import ray

from troupe.core.errors import TroupeError
from troupe.experiments.load import Description
from troupe.fleet.actor import Actor, Snapshot
from troupe.fleet.actors import LOST, MAX_RESTARTS_IN_A_ROW
from troupe.fleet.division import Ranges, join_samples, join_snapshots, split_snapshot
from troupe.fleet.sampler import Sample
from troupe.policies import MlpPolicy


class OwnActors:
    """Actors that a learner starts, and that end with it.

    They sample what one actor in the learner's process would. One that dies is replaced and samples
    its steps again.
    """

    def __init__(self, description: Description, ranges: Ranges, share: float) -> None:
        """Let the actors start.

        Args:
            description: the resolved experiment, as plain values.
            ranges: global instance ids of each actor.
            share: of a core, for each actor.
        """
        self._description = description
        self._ranges = ranges
        self._class: Any = ray.remote(num_cpus=share, scheduling_strategy="DEFAULT")(Actor)
        self._actors = [self._new_actor(i) for i in range(len(ranges))]
        self._snapshots: list[Snapshot] = []

    def start(self, noise_size: int, snapshot: Snapshot | None = None) -> Snapshot:
        """Begin the first episodes, or go on from a snapshot; return the present one."""
        self._noise_size = noise_size
        first = self._ranges[0][0]
        within = [(begin - first, end - first) for begin, end in self._ranges]
        parts: Sequence[Snapshot | None] = (
            [None] * len(within) if snapshot is None else split_snapshot(snapshot, within)
        )
        pairs = zip(self._actors, parts, strict=True)
        self._snapshots = ray.get([actor.start.remote(noise_size, part) for actor, part in pairs])
        return join_snapshots(self._snapshots)

    def sample(self, policy: MlpPolicy, num_steps: int) -> tuple[Sample, Snapshot]:
        """Return the next steps, and the snapshot from which the steps after them follow."""
        shared = ray.put(policy)
        pending = [actor.sample.remote(shared, num_steps) for actor in self._actors]
        samples = [self._surely(i, found, shared, num_steps) for i, found in enumerate(pending)]
        return join_samples(samples), join_snapshots(self._snapshots)

    def _new_actor(self, i: int) -> Any:
        first, last = self._ranges[i]
        return self._class.remote(self._description, first, last - first)

    def _surely(self, i: int, reference: Any, policy: Any, num_steps: int) -> Sample:
        for _ in range(MAX_RESTARTS_IN_A_ROW):
            try:
                sample, snapshot = ray.get(reference)
            except LOST:
                ray.kill(self._actors[i])
                self._actors[i] = self._new_actor(i)
                self._actors[i].start.remote(self._noise_size, self._snapshots[i])
                reference = self._actors[i].sample.remote(policy, num_steps)
            else:
                self._snapshots[i] = snapshot
                assert isinstance(sample, Sample)  # nothing cuts it
                return sample
        raise TroupeError(
            f"the actor of instances {self._ranges[i][0]} to {self._ranges[i][1] - 1} died "
            f"{MAX_RESTARTS_IN_A_ROW} times in a row at the same steps."
        )
