"""Workers that never wait for each other: each pushes fragments at its own pace."""

from __future__ import annotations

import time
from collections import deque
from dataclasses import dataclass, field
from typing import Any

import numpy as np
import numpy.typing as npt
import ray

from troupe.episodes import Fragment, no_episodes
from troupe.experiments.schema import Experiment
from troupe.fleet.actors import LOST
from troupe.fleet.division import join_episodes
from troupe.fleet.journal import Arrival, Journal
from troupe.fleet.lag_control import LagController
from troupe.fleet.ray_workers import RayWorkers
from troupe.fleet.sampler import Sample
from troupe.policies import MlpPolicy


@dataclass
class _Request:
    """Steps that an actor has been asked for."""

    reference: Any
    number: int
    num_steps: int


@dataclass
class _Worker:
    """What is known of one actor."""

    num_instances: int
    requests: deque[_Request] = field(default_factory=deque)
    requested: int = 0
    num_steps: int = 0
    late_steps: int = 0
    lag_sum: int = 0
    learned_steps: int = 0


class AsynchronousWorkers(RayWorkers):
    """An experiment's instances, divided over actors that sample on their own.

    Each actor has been asked for a fragment or two more than it has given, so it goes on at once;
    newer policies reach it meanwhile. What arrives is laid end to end into batches of one shape,
    the oldest steps first. With the mode ``preemptive`` the actors stop when a batch is complete
    and wait for the next policy; all that they have is kept for the next batch.

    An actor that dies is replaced and goes on from the snapshot after the last fragment that
    arrived; the steps since are counted as lost. All that arrives is kept in the run's journal: if
    the learner dies, the next one learns the same batches again and comes to the same policy.
    """

    def __init__(self, experiment: Experiment) -> None:
        """Let the actors start; `start` waits for them.

        Raises:
            UserError: if anything is wrong with the experiment, or with Ray.
        """
        fleet = experiment.fleet
        super().__init__(experiment)
        self._num_instances = fleet.instances
        self._max_lag = fleet.max_lag
        self._is_preemptive = fleet.mode == "preemptive"
        self._control = LagController(fleet.workers, fleet.fragment, fleet.max_lag)
        call = self._actors.first_call
        self._workers = [
            _Worker(last - first, requested=call) for first, last in self._actors.ranges
        ]
        self._received: list[Sample] = []
        self._policy: MlpPolicy | None = None
        self._shared: Any = None
        self._began = time.monotonic()

    def start(self, noise_size: int) -> None:
        """Begin the first episodes."""
        super().start(noise_size)
        self._began = time.monotonic()

    def sample(self, policy: MlpPolicy, num_steps: int) -> Sample:
        """Return the oldest steps that wait, as many as `num_steps` of each instance.

        Args:
            policy: the newest, which the actors get.
            num_steps: rows of the batch.
        """
        self._publish(policy)
        self._replay()
        longest = num_steps if self._is_preemptive else self._control.longest
        while self.backlog.num_steps < num_steps * self._num_instances:
            for worker in range(len(self._workers)):
                self._ask(worker, longest)
            self._receive()
        if self._is_preemptive:
            self._finish_requests()
        fragment = self.backlog.take(num_steps, self._num_instances)
        self._observe_lag(policy.version - fragment.version, fragment)
        received, self._received = self._received, []
        tables = [no_episodes(self.metric_names), *(sample.episodes for sample in received)]
        faults = [fault for sample in received for fault in sample.faults]
        return Sample(fragment, join_episodes(tables), faults)

    def settle(self) -> list[Sample]:
        """Let the actors stop where they are; their steps wait, and what ended is returned."""
        self._replay()
        self._finish_requests()
        received, self._received = self._received, []
        return received

    def follow(self, journal: Journal) -> None:
        """Sample first what a journal holds, and keep there what arrives from now on."""
        super().follow(journal)
        if interrupted := journal.num_asked:
            # of what the workers were asked for they may have sampled all
            journal.lost(interrupted)
            journal.answered(interrupted)
        self.lost += journal.num_lost

    def report(self) -> list[dict[str, Any]]:
        """Return figures of each worker: speed, share, lag, fragments, restarts."""
        elapsed_s = time.monotonic() - self._began
        total = sum(worker.num_steps for worker in self._workers)
        return [
            {
                "worker": i,
                "steps": worker.num_steps,
                "share": worker.num_steps / max(1, total),
                "steps_per_s": worker.num_steps / elapsed_s,
                "mean_lag": worker.lag_sum / max(1, worker.learned_steps),
                "late_steps": worker.late_steps,
                "restarts": self._actors.restarts[i],
                **self._control.report(i),
            }
            for i, worker in enumerate(self._workers)
        ]

    def _publish(self, policy: MlpPolicy) -> None:
        """Give the newest policy to all actors, through the object store of each machine."""
        if policy is self._policy:
            return
        self._policy, self._shared = policy, ray.put(policy)
        for worker, handle in zip(self._workers, self._actors.handles, strict=True):
            if worker.requests:
                handle.adopt(self._shared)

    def _ask(self, index: int, longest: int) -> None:
        """Ask an actor for more, so that it has work until what it gives next has arrived."""
        worker = self._workers[index]
        while len(worker.requests) < self._control.in_flight(index):
            num_steps = min(self._control.steps(index), longest)
            number = worker.requested = worker.requested + 1
            handle = self._actors.handles[index]
            self._journal.asked(num_steps * worker.num_instances)
            reference = handle.sample(self._shared, num_steps, number)
            worker.requests.append(_Request(reference, number, num_steps))

    def _receive(self) -> None:
        """Wait until something arrives, and take all that is there."""
        heads = {w.requests[0].reference: i for i, w in enumerate(self._workers) if w.requests}
        ready, _ = ray.wait(list(heads), num_returns=1)
        more, _ = ray.wait(list(heads), num_returns=len(heads), timeout=0)
        for reference in {*ready, *more}:
            self._take(heads[reference])

    def _take(self, index: int) -> None:
        """Take the answer to an actor's first request; if the actor died, replace it."""
        worker = self._workers[index]
        request = worker.requests.popleft()
        try:
            sample, snapshot = ray.get(request.reference)
        except LOST:
            lost = request.num_steps * worker.num_instances
            self.lost += lost
            forgotten = sum(waiting.num_steps for waiting in worker.requests)
            self._journal.lost(lost)
            self._journal.answered(lost + forgotten * worker.num_instances)
            worker.requests.clear()
            self._actors.replace(index)
            return
        self._actors.keep(index, snapshot)
        if sample is not None:
            assert self._policy is not None  # nothing is asked for without one
            first, _ = self._actors.ranges[index]
            self._journal.arrived(Arrival(self._policy.version, first, sample, snapshot))
            self._add(index, sample)
        self._journal.answered(request.num_steps * worker.num_instances)

    def _replay(self) -> None:
        """Take what arrived, in an earlier sitting, while the present policy was the newest."""
        arrivals = self._journal.arrivals
        while self._policy and arrivals and arrivals[0].version <= self._policy.version:
            arrival = arrivals.popleft()
            owner = self.owners(np.array([arrival.first_instance]))[0]
            self._add(int(owner), arrival.sample)

    def _add(self, index: int, sample: Sample) -> None:
        """Let the steps that an actor gave wait to be learned from."""
        self.backlog.add(sample.fragment)
        self._received.append(sample)
        self.arrived += sample.fragment.num_steps
        self._workers[index].num_steps += sample.fragment.num_steps

    def _finish_requests(self) -> None:
        """End what the actors are sampling after its present step, and take it."""
        for worker, handle in zip(self._workers, self._actors.handles, strict=True):
            if worker.requests:
                last = worker.requests[-1].number
                handle.cut(last)
        while any(worker.requests for worker in self._workers):
            self._receive()

    def _observe_lag(self, lag: npt.NDArray[np.int64], fragment: Fragment) -> None:
        """Count the lag of the steps that are about to be learned from, by worker."""
        owner = self.owners(fragment.instance)
        for index, worker in enumerate(self._workers):
            own = lag[owner == index]
            worker.learned_steps += own.size
            worker.lag_sum += int(own.sum())
            worker.late_steps += int((own > self._max_lag).sum())
            if not self._is_preemptive:
                self._control.observe(index, own)
