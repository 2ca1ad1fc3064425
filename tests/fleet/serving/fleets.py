"""What the tests of the Experiment API share."""

import socket
import threading
from collections.abc import Callable, Sequence
from contextlib import suppress
from pathlib import Path

import numpy as np

from troupe.experiments.load import load_experiment
from troupe.experiments.simulation import Simulation
from troupe.fleet.serving import Fleet

SHORT = ("task.episode=100ms",)
Rows = list[np.ndarray]


def actions_of(step: int, num_instances: int) -> np.ndarray:
    return np.random.default_rng(step).uniform(-1, 1, (num_instances, 3)).astype(np.float32)


def simulated(num_instances: int, steps: int, seed: int, overrides: Sequence[str] = SHORT) -> Rows:
    """Return observation, reward, terminated and truncated of a simulation, stepped directly."""
    simulation = Simulation(load_experiment("scara-reach", overrides), num_instances, seed=seed)
    simulation.reset()
    rows = [simulation.observe()]
    for step in range(steps):
        result = simulation.step(actions_of(step, num_instances))
        done = np.flatnonzero(result.terminated | result.truncated)
        if len(done):
            simulation.reset(done)
        flags = (result.reward, result.terminated, result.truncated)
        rows.append(np.column_stack([simulation.observe(), *flags]))
    simulation.close()
    return rows


def stepped(fleet: Fleet, steps: int, first_step: int = 0) -> Rows:
    """Return the same of a fleet as a vector environment, after its reset if that is due."""
    env = fleet.vector_env()
    rows = [] if first_step else [env.reset()[0]]
    for step in range(first_step, first_step + steps):
        observation, *flags, _ = env.step(actions_of(step, fleet.num_instances))
        rows.append(np.column_stack([observation, *flags]))
    return rows


def assert_same(found: Rows, expected: Rows) -> None:
    assert len(found) == len(expected)
    for step, (one, other) in enumerate(zip(found, expected, strict=True)):
        assert np.array_equal(one, other), f"step {step}"


def children(pid: int) -> list[int]:
    """Return the processes that a process has started, and those that they have."""
    tasks = Path(f"/proc/{pid}/task").glob("*/children")
    own = [int(child) for task in tasks for child in task.read_text().split()]
    return [*own, *(grandchild for child in own for grandchild in children(child))]


class Proxy:
    """Passes bytes on between clients and a server, until it is cut."""

    def __init__(self, url: str) -> None:
        self._to = ("127.0.0.1", int(url.rpartition(":")[2]))
        self._listening = socket.create_server(("127.0.0.1", 0))
        self.address = f"grpc://127.0.0.1:{self._listening.getsockname()[1]}"
        self._ends: list[socket.socket] = []
        self._threads: list[threading.Thread] = []
        self.num_connections = 0
        self._start(self._accept)

    def cut(self) -> None:
        """Break all connections; new ones can be made."""
        for end in list(self._ends):
            _shut(end)

    def close(self) -> None:
        """Break all connections for good."""
        _shut(self._listening)
        self._threads[0].join()
        self.cut()
        for thread in self._threads:
            thread.join()
        for end in (self._listening, *self._ends):
            end.close()

    def _start(self, target: Callable[..., None], *arguments: socket.socket) -> None:
        thread = threading.Thread(target=target, args=arguments, daemon=True)
        self._threads.append(thread)
        thread.start()

    def _accept(self) -> None:
        with suppress(OSError):
            while True:
                ours, _ = self._listening.accept()
                theirs = socket.create_connection(self._to)
                self.num_connections += 1
                self._ends += [ours, theirs]
                self._start(self._pass_on, ours, theirs)
                self._start(self._pass_on, theirs, ours)

    def _pass_on(self, source: socket.socket, target: socket.socket) -> None:
        with suppress(OSError):
            while data := source.recv(65536):
                target.sendall(data)
        _shut(source)
        _shut(target)


def _shut(end: socket.socket) -> None:
    with suppress(OSError):
        end.shutdown(socket.SHUT_RDWR)
