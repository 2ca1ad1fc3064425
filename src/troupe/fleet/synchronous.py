"""Workers that take turns with the learner: all give the same number of steps, and wait."""

from __future__ import annotations

from typing import Any

import ray

from troupe.fleet.actors import LOST
from troupe.fleet.division import join_samples
from troupe.fleet.journal import Arrival
from troupe.fleet.ray_workers import RayWorkers
from troupe.fleet.sampler import Sample
from troupe.policies import MlpPolicy


class SynchronousWorkers(RayWorkers):
    """An experiment's instances, divided over actors on this machine or a Ray cluster.

    The actors sample the same fragments as one process would, whatever their number. One that dies
    is replaced, goes on from the snapshot before its last fragment, and samples that again. What
    they gave is kept in the run's journal: if the learner dies, it need not be sampled again.
    """

    def sample(self, policy: MlpPolicy, num_steps: int) -> Sample:
        """Return the next steps of all instances, and what ended or failed in them."""
        if self._journal.arrivals:
            sample = self._journal.arrivals.popleft().sample
            self.arrived += sample.fragment.num_steps
            return sample
        shared = ray.put(policy)
        call = self._actors.first_call
        pending = [actor.sample(shared, num_steps, call) for actor in self._actors.handles]
        samples = [
            self._sample_surely(worker, reference, shared, num_steps)
            for worker, reference in enumerate(pending)
        ]
        sample = join_samples(samples)
        self.arrived += sample.fragment.num_steps
        self._journal.arrived(Arrival(policy.version, 0, sample, self._actors.snapshot()))
        return sample

    def settle(self) -> list[Sample]:
        """Nothing is under way between two samples."""
        return []

    def report(self) -> list[dict[str, Any]]:
        """Return figures of each worker."""
        return [{"worker": w, "restarts": count} for w, count in enumerate(self._actors.restarts)]

    def _sample_surely(self, worker: int, reference: Any, policy: Any, num_steps: int) -> Sample:
        """Return what a worker samples; one that dies is replaced and samples it again."""
        while True:
            try:
                sample, snapshot = ray.get(reference)
            except LOST:
                self._actors.replace(worker)
                reference = self._actors.handles[worker].sample(
                    policy, num_steps, self._actors.first_call
                )
            else:
                self._actors.keep(worker, snapshot)
                assert isinstance(sample, Sample)  # nothing cuts it
                return sample
