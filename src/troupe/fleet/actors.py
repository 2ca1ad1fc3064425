"""Actors on Ray: processes that each step a range of the instances, replaced when they die."""

from __future__ import annotations

import math
import threading
import time
from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import numpy.typing as npt
import ray
from ray.exceptions import GetTimeoutError, ObjectLostError, OutOfMemoryError, RayActorError

from troupe import __version__
from troupe.core.errors import TroupeError, UserError
from troupe.experiments.schema import Experiment
from troupe.experiments.simulation import specs
from troupe.fleet.actor import CONTROL, ActorProcess, Part
from troupe.fleet.cluster import check_address, connect, disconnect
from troupe.fleet.division import (
    Snapshot,
    check_division,
    divide,
    join_snapshots,
    replaced,
    split_snapshot,
)
from troupe.fleet.journal import Arrival
from troupe.fleet.kept import Kept
from troupe.fleet.local_ray import borrowed
from troupe.fleet.nodes import (
    PLACED_WITHIN_S,
    check_versions,
    free_cores,
    num_places,
    share_of_cores,
    wait_for_places,
)
from troupe.fleet.whereabouts import Whereabouts

MAX_RESTARTS_IN_A_ROW = 5
LOOK_EVERY_S = 2.0
LOST = (RayActorError, OutOfMemoryError, ObjectLostError)
"""What an actor, or the result that it had on its machine, is lost with."""


@dataclass(frozen=True)
class Handle:
    """How to call an actor in its process; calls return references to what they will return.

    Attributes:
        process: the Ray actor.
        place: of the actor among those of the process.
    """

    process: Any
    place: int

    def start(self, noise_size: int, snapshot: Snapshot | None = None) -> Any:
        """Begin the first episodes, or go on from a snapshot."""
        return self._in_its_thread("start").remote(self.place, noise_size, snapshot)

    def sample(self, policy: Any, num_steps: int, call: int) -> Any:
        """Sample the next steps, after what was asked for before."""
        return self._in_its_thread("sample").remote(self.place, policy, num_steps, call)

    def adopt(self, policy: Any) -> None:
        """Give it a newer policy, also while it samples."""
        self.process.adopt.options(concurrency_group=CONTROL).remote(self.place, policy)

    def cut(self, call: int) -> None:
        """End what it samples after its present step, up to a request."""
        self.process.cut.options(concurrency_group=CONTROL).remote(self.place, call)

    def _in_its_thread(self, method: str) -> Any:
        return getattr(self.process, method).options(concurrency_group=thread_of(self.place))


def thread_of(place: int) -> str:
    """Return the concurrency group of an actor's calls: one thread, so they keep their order."""
    return f"actor-{place}"


class Actors:
    """The actors of an experiment, on this machine or a Ray cluster.

    Attributes:
        observation_spec: of one instance.
        action_spec: of one instance.
        metric_names: of an episode's figures.
        ranges: of global instance ids, one for each actor.
        handles: of the actors, for calls.
        snapshots: from which each actor would go on, were it replaced.
        first_call: numbers of requests for samples begin here.
        restarts: how often each actor died and was replaced.
    """

    def __init__(self, experiment: Experiment) -> None:
        """Connect to Ray and let the actors start; `start` waits for them.

        Raises:
            UserError: if anything is wrong with the experiment, there are more workers than
                instances, the address does not answer, or the cluster has no place for them or
                another version of Troupe.
        """
        fleet = experiment.fleet
        check_division(fleet)
        self.observation_spec, self.action_spec, self.metric_names = specs(experiment)
        self._started_ray = connect(fleet.address)
        self.handles: list[Handle] = []
        self._processes: list[Any] = []
        self.ranges = divide(fleet.instances, fleet.workers)
        self._in_a_process = min(fleet.workers_per_process, fleet.workers)
        self._num_processes = math.ceil(fleet.workers / self._in_a_process)
        self.restarts = [0] * fleet.workers
        self._restarts_in_a_row = [0] * fleet.workers
        self._description = experiment.resolved()
        self._slow_workers = fleet.slow_workers
        self._notices: list[str] = []
        self._starts: dict[int, Any] = {}
        self._timers: dict[int, threading.Timer] = {}
        self._unplaced: set[int] = set()
        is_local = self._started_ray and check_address(fleet.address) == "local"
        if not is_local:
            check_versions()
        self._kept = Kept(self._description) if is_local and borrowed() else None
        found = self._kept.find() if self._kept else {}
        self._share = share_of_cores(self._num_processes)
        try:
            wait_for_places(self._share, self._num_processes - len(found), "workers")
        except UserError:
            self.close()
            raise
        options: dict[str, Any] = {
            "num_cpus": self._share,
            "scheduling_strategy": "DEFAULT",  # anywhere, also where a sweep's trial starts them
            "concurrency_groups": {
                CONTROL: 1,
                **{thread_of(place): 1 for place in range(self._in_a_process)},
            },
        }
        self._process_class = ray.remote(**options)(ActorProcess)
        self._whereabouts = Whereabouts()
        self._processes = [
            found[index] if index in found else self._new_process(index)
            for index in range(self._num_processes)
        ]
        for index, process in enumerate(self._processes):
            self._expect(index, process)
        self.handles = [self._handle(worker) for worker in range(fleet.workers)]
        self.snapshots: list[Snapshot] = []
        # what a dead learner asked for is not sampled any more
        self.first_call = time.time_ns()
        for handle in self.handles:
            handle.cut(self.first_call - 1)

    def start(self, noise_size: int) -> None:
        """Begin the first episodes."""
        self._noise_size = noise_size
        self.snapshots = self._get([handle.start(noise_size) for handle in self.handles])

    def snapshot(self) -> Snapshot:
        """Return the exact state of all instances, in the order of their global ids."""
        return join_snapshots(self.snapshots)

    def restore(self, snapshot: Mapping[str, npt.NDArray[Any]]) -> None:
        """Go on from a snapshot, also of another number of actors."""
        parts = split_snapshot(snapshot, self.ranges)
        starts = [
            handle.start(self._noise_size, part)
            for handle, part in zip(self.handles, parts, strict=True)
        ]
        self.snapshots = self._get(starts)

    def restore_arrived(self, arrivals: Iterable[Arrival]) -> None:
        """Go on from where steps that arrived after the present snapshots ended."""
        joined = self.snapshot()
        for arrival in arrivals:
            joined = replaced(joined, arrival.snapshot, arrival.first_instance)
        self.restore(joined)

    def processes(self) -> list[dict[str, Any]]:
        """Return the host and process id of each actor that has told them."""
        return [
            {"worker": worker, "host": host, "process": process}
            for index, (host, process) in self._whereabouts.known().items()
            for worker in self._workers_of(index)
        ]

    def keep(self, worker: int, snapshot: Snapshot) -> None:
        """Note from where an actor that has just answered would go on."""
        self.snapshots[worker] = snapshot
        self._restarts_in_a_row[worker] = 0

    def replace(self, worker: int) -> None:
        """Start another actor in the place of one that died; it goes on from the last snapshot.

        Raises:
            TroupeError: if it dies again and again.
        """
        self.restarts[worker] += 1
        self._restarts_in_a_row[worker] += 1
        if self._restarts_in_a_row[worker] > MAX_RESTARTS_IN_A_ROW:
            raise TroupeError(
                f"worker {worker} died {MAX_RESTARTS_IN_A_ROW} times in a row at the same steps"
                f"{self._reason(worker)}."
            )
        index = worker // self._in_a_process
        # the others of its process go on in the new one when their turn has come
        is_first = self.handles[worker].process is self._processes[index]
        cores = self._renew(index) if is_first else 0.0
        self.handles[worker] = handle = self._handle(worker)
        self._starts[worker] = handle.start(self._noise_size, self.snapshots[worker])
        if cores:
            self._watch(index, self._starts[worker])

    def take_notices(self) -> list[str]:
        """Return what has become of actors, for the run's log, each line once."""
        taken, self._notices = self._notices, []
        return taken

    def close(self) -> None:
        """End the actors, and Ray if it was started here."""
        for timer in self._timers.values():
            timer.cancel()
        for process in self._processes:
            ray.kill(process)
        self._processes, self.handles = [], []
        if self._started_ray:
            disconnect()
            self._started_ray = False

    def _workers_of(self, index: int) -> range:
        """Return the workers of a process."""
        first = index * self._in_a_process
        return range(first, min(first + self._in_a_process, len(self.ranges)))

    def _handle(self, worker: int) -> Handle:
        index, place = divmod(worker, self._in_a_process)
        return Handle(self._processes[index], place)

    def _new_process(self, index: int, cores: float | None = None) -> Any:
        parts = []
        for worker in self._workers_of(index):
            first, last = self.ranges[worker]
            parts.append(Part(first, last - first, self._slow_workers.get(worker, 1.0)))
        options = dict(self._kept.options(index)) if self._kept else {}
        if cores is not None:
            options["num_cpus"] = cores
        process_class = self._process_class.options(**options)
        return process_class.remote(self._description, parts, __version__)

    def _expect(self, index: int, process: Any) -> None:
        """Let a process tell where it is."""
        answer = process.whereabout.options(concurrency_group=CONTROL).remote()
        self._whereabouts.expect(index, answer)

    def _renew(self, index: int) -> float:
        """Replace a process, and return how many cores the new one asks for."""
        ray.kill(self._processes[index])
        cores = self._cores_left(index)
        self._processes[index] = self._new_process(index, cores)
        self._expect(index, self._processes[index])
        return cores

    def _cores_left(self, index: int) -> float:
        """Return how many cores a process is to ask for that replaces another.

        If the machines that are left have no place for all, it shares the cores of others.
        """
        if index not in self._unplaced and num_places(self._share) >= self._num_processes:
            return self._share
        self._unplaced.discard(index)
        self._notices += [
            f"worker {worker} has no cores of its own any more: the cluster has too few left"
            for worker in self._workers_of(index)
        ]
        return 0.0

    def _watch(self, index: int, start: Any) -> None:
        """Begin to wait for a place for a process, and let it share others' cores if none comes."""
        process = self._processes[index]
        deadline = time.monotonic() + PLACED_WITHIN_S

        def look() -> None:
            if process is not self._processes[index] or ray.wait([start], timeout=0)[0]:
                return
            is_late = time.monotonic() > deadline and free_cores() < self._share
            if is_late or num_places(self._share) < self._num_processes:
                # whoever waits for it finds it dead, and replaces it
                self._unplaced.add(index)
                ray.kill(process)
            else:
                self._look_later(index, look)

        self._look_later(index, look)

    def _look_later(self, index: int, look: Callable[[], None]) -> None:
        self._timers[index] = timer = threading.Timer(LOOK_EVERY_S, look)
        timer.daemon = True
        timer.start()

    def _reason(self, worker: int) -> str:
        """Return what an actor died of, if that was at its start."""
        try:
            ray.get(self._starts[worker], timeout=0)
        except RayActorError as error:
            return f": {str(error).strip().splitlines()[-1].strip()}"
        except (KeyError, GetTimeoutError, *LOST):
            pass
        return ""

    def _get(self, references: Sequence[Any]) -> list[Any]:
        try:
            results: list[Any] = ray.get(list(references))
        except LOST as error:
            raise TroupeError(f"a worker could not start: {error}") from error
        return results
