"""A crew of worker processes on this machine; one that dies is replaced."""

from __future__ import annotations

import math
import select
import threading
import time
from contextlib import suppress
from dataclasses import replace
from typing import Any

import numpy as np
import numpy.typing as npt

from troupe.core.errors import TroupeError
from troupe.engines.host.channel import PeerEnded
from troupe.engines.host.messages import Message
from troupe.engines.host.server import decode_error
from troupe.fleet.serving.batch import Batch, decode_batch
from troupe.fleet.serving.group import Answer, Command, Seed
from troupe.fleet.serving.plan import Plan
from troupe.fleet.serving.spec import decode_fleet_spec
from troupe.fleet.serving.worker_process import WorkerProcess

MAX_RESTARTS_IN_A_ROW = 3
_START_S = 120.0
_PASS_ON_EVERY = 1009  # a prime, so that each worker has its turn


class ProcessCrew:
    """Worker processes, each with groups of its own.

    Attributes:
        spec: of the fleet.
        restarts: of each worker.

    One thread may post while another one collects.
    """

    def __init__(self, plan: Plan) -> None:
        """Start the processes and wait for their simulations.

        Raises:
            UserError: if anything in the experiment's engines or task is wrong.
            TroupeError: if a process does not start.
        """
        self._plan = plan
        self.restarts = [0] * len(plan.parts)
        self._deaths_in_a_row = [0] * len(plan.parts)
        self._worker_of = [w for w, part in enumerate(plan.parts) for _ in part.bounds[1:]]
        self._num_received = 0
        self._lock = threading.Lock()
        self._in_flight: dict[int, Command] = {}
        self._lost: dict[int, str] = {}
        self._cut: dict[int, str] = {}
        self._last: dict[int, Batch] = {}
        self._seeds: dict[int, Seed] = {}
        self._poller = select.poll()
        self._by_descriptor: dict[int, int] = {}
        self._workers: list[WorkerProcess] = []
        try:
            for worker in range(len(plan.parts)):
                self._workers.append(WorkerProcess(plan.start_of(worker)))
                self._watch(worker)
            specs = [decode_fleet_spec(self._first_answer(worker)) for worker in self._workers]
            self.spec = specs[0]
        except BaseException:
            self.close()
            raise

    def post(self, command: Command) -> None:
        """Give a group a command.

        If its process has died since its last answer, its episodes end and the next ones begin
        instead.
        """
        with self._lock:
            group = command.group
            reason = self._lost.pop(group, None)
            if command.call == "reset":
                self._cut.pop(group, None)
                if command.seed is not None:
                    self._seeds[group] = command.seed
            elif reason is not None:
                self._cut[group] = reason
                command = Command("reset", group, command.generation)
            self._in_flight[group] = command
            self._send(command)

    def collect(self, timeout_s: float | None) -> list[Answer]:
        """Return the answers that have come.

        Raises:
            TroupeError: if a simulation cannot go on, or a worker dies again and again.
        """
        deadline_s = math.inf if timeout_s is None else time.monotonic() + timeout_s
        answers: list[Answer] = []
        while not answers:
            left_s = deadline_s - time.monotonic()
            left_ms = None if math.isinf(left_s) else max(0, math.ceil(left_s * 1000))
            ready = self._poller.poll(left_ms)
            for descriptor, _ in ready:
                answer = self._receive(self._by_descriptor[descriptor])
                if answer is not None:
                    answers.append(answer)
            if not ready and left_s <= 0:
                break
        return answers

    def close(self) -> None:
        """End the processes."""
        for worker in self._workers:
            worker.terminate()
        for worker in self._workers:
            worker.close()
        self._workers = []

    def _receive(self, index: int) -> Answer | None:
        """Take what a worker says; None if that is no answer of a group."""
        try:
            message = self._workers[index].channel.receive().message
        except PeerEnded:
            self._replace(index)
            return None
        _check(message)
        if "spec" in message.header:  # of one that was replaced
            return None
        self._deaths_in_a_row[index] = 0
        self._num_received += 1
        if self._num_received % _PASS_ON_EVERY == 0:
            self._workers[index].pass_output_on()
        group, generation = message.header["group"], message.header["generation"]
        batch = decode_batch(message)
        with self._lock:
            if self._in_flight[group].generation == generation:
                del self._in_flight[group]
                reason = self._cut.pop(group, None)
                if reason is not None:
                    batch = _cut_off(batch, self._last[group].observation, reason)
            self._last[group] = batch
        return Answer(group, generation, batch)

    def _replace(self, index: int) -> None:
        """Start another process in the place of one that died, and begin the next episodes."""
        process, part = self._workers[index], self._plan.parts[index]
        reason = f"the process of worker {index} {process.end_of_life()}"
        self.restarts[index] += 1
        self._deaths_in_a_row[index] += 1
        if self._deaths_in_a_row[index] > MAX_RESTARTS_IN_A_ROW:
            raise TroupeError(
                f"worker {index} died {MAX_RESTARTS_IN_A_ROW} times in a row: {reason}."
            )
        with self._lock:
            self._poller.unregister(process.end)
            del self._by_descriptor[process.end.fileno()]
            process.close()
            first, last = part.first_group, part.first_group + len(part.bounds) - 1
            self._workers[index] = WorkerProcess(self._again(index, first, last))
            self._watch(index)
            for group in range(first, last):
                command = self._in_flight.get(group)
                if command is None:
                    self._lost[group] = reason
                    continue
                if command.call == "step":
                    self._cut[group] = reason
                    command = Command("reset", group, command.generation)
                    self._in_flight[group] = command
                self._send(command)

    def _again(self, index: int, first: int, last: int) -> dict[str, Any]:
        """Return what another process begins with: the seeds and the last episodes."""
        start = self._plan.start_of(index)
        if not any(group in self._last for group in range(first, last)):
            return start  # no episode has begun
        bounds = self._plan.parts[index].bounds
        sizes = np.diff(bounds).tolist()
        groups = list(zip(range(first, last), sizes, strict=True))
        unknown = {g: np.full(size, -1) for g, size in groups}
        known = {g: self._last[g].episode for g, _ in groups if g in self._last}
        episodes = [int(e) for g, _ in groups for e in {**unknown, **known}[g]]
        seeds = [self._seeds.get(g) for g, _ in groups]
        joined = None
        if all(isinstance(seed, int) for seed in seeds):
            start["seed"] = seeds[0]  # groups are reset together
        elif all(isinstance(seed, list) for seed in seeds):
            joined = [own for seed in seeds for own in seed]  # type: ignore[union-attr]
        return {**start, "episodes": episodes, "seeds": joined}

    def _watch(self, index: int) -> None:
        end = self._workers[index].end
        self._by_descriptor[end.fileno()] = index
        self._poller.register(end, select.POLLIN)

    def _send(self, command: Command) -> None:
        with suppress(PeerEnded):  # whoever collects finds out
            self._workers[self._worker_of[command.group]].channel.send(command.encode())

    def _first_answer(self, process: WorkerProcess) -> Message:
        deadline_ns = time.monotonic_ns() + int(_START_S * 1e9)
        try:
            message = process.channel.receive(deadline_ns).message
        except PeerEnded:
            raise TroupeError(f"a worker could not start: it {process.end_of_life()}.") from None
        except TimeoutError:
            raise TroupeError(f"a worker did not start within {_START_S:g} s.") from None
        _check(message)
        return message


def _check(message: Message) -> None:
    """Raise the error that a worker tells."""
    error = decode_error(message)
    if error is not None:
        raise error


def _cut_off(begun: Batch, last_observation: npt.NDArray[Any], reason: str) -> Batch:
    """Return the batch of episodes that begin as the last ones of a lost process were cut off."""
    num_instances = len(begun)
    return replace(
        begun,
        truncated=np.ones(num_instances, np.bool_),
        ended=np.arange(num_instances),
        final_observation=last_observation,
        metrics={name: np.full(num_instances, np.nan) for name in begun.metrics},
        faults=[(int(i), reason) for i in begun.ids],
    )
