"""Workers that take turns with the learner: all give the same number of steps, and wait."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

import numpy as np
import numpy.typing as npt
import ray

from troupe.episodes import Backlog
from troupe.experiments.schema import Experiment
from troupe.fleet.actor import Snapshot
from troupe.fleet.actors import LOST, Actors
from troupe.fleet.division import join_samples, owners
from troupe.fleet.journal import Arrival, Journal
from troupe.fleet.sampler import Sample
from troupe.policies import MlpPolicy


class SynchronousWorkers:
    """An experiment's instances, divided over actors on this machine or a Ray cluster.

    The actors sample the same fragments as one process would, whatever their number. One that dies
    is replaced, goes on from the snapshot before its last fragment, and samples that again. What
    they gave is kept in the run's journal: if the learner dies, it need not be sampled again.
    """

    def __init__(self, experiment: Experiment) -> None:
        """Let the actors start; `start` waits for them.

        Raises:
            UserError: if anything is wrong with the experiment, or with Ray.
        """
        self._actors = Actors(experiment)
        self.observation_spec = self._actors.observation_spec
        self.action_spec = self._actors.action_spec
        self.metric_names = self._actors.metric_names
        self.backlog = Backlog()
        self.arrived = 0
        self.lost = 0
        self._journal = Journal()

    def start(self, noise_size: int) -> None:
        """Begin the first episodes."""
        self._actors.start(noise_size)

    def sample(self, policy: MlpPolicy, num_steps: int) -> Sample:
        """Return the next steps of all instances, and what ended or failed in them."""
        if self._journal.arrivals:
            sample = self._journal.arrivals.popleft().sample
            self.arrived += sample.fragment.num_steps
            return sample
        shared = ray.put(policy)
        pending = [actor.sample.remote(shared, num_steps) for actor in self._actors.handles]
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

    def owners(self, instances: npt.NDArray[np.int64]) -> npt.NDArray[np.int64]:
        """Return the number of the worker that steps each instance, by global id."""
        return owners(self._actors.ranges, instances)

    def follow(self, journal: Journal) -> None:
        """Sample first what a journal holds, and keep there what arrives from now on."""
        self._journal = journal
        if journal.arrivals:
            self._actors.restore_arrived(journal.arrivals)

    def notices(self) -> list[str]:
        """Return what a run's log should say, each line once."""
        return self._actors.take_notices()

    def processes(self) -> list[dict[str, Any]]:
        """Return where each worker's process runs."""
        return self._actors.processes()

    def report(self) -> list[dict[str, Any]]:
        """Return figures of each worker."""
        return [{"worker": w, "restarts": count} for w, count in enumerate(self._actors.restarts)]

    def snapshot(self) -> Snapshot:
        """Return the exact state of all instances, in the order of their global ids."""
        return self._actors.snapshot()

    def restore(self, snapshot: Mapping[str, npt.NDArray[Any]]) -> None:
        """Go on from a snapshot, also of another number of workers."""
        self._actors.restore(snapshot)

    def close(self) -> None:
        """End the actors, and Ray if it was started here."""
        self._actors.close()

    def _sample_surely(self, worker: int, reference: Any, policy: Any, num_steps: int) -> Sample:
        """Return what a worker samples; one that dies is replaced and samples it again."""
        while True:
            try:
                sample, snapshot = ray.get(reference)
            except LOST:
                self._actors.replace(worker)
                reference = self._actors.handles[worker].sample.remote(policy, num_steps)
            else:
                self._actors.keep(worker, snapshot)
                assert isinstance(sample, Sample)  # nothing cuts it
                return sample
