"""A simulation: the configuration's engines in a loop of Troupe's."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from typing import Any, Protocol

import numpy as np
from troupe.core.errors import EngineError, unknown
from troupe.engines.base import Engine
from troupe.engines.host import open_engine
from troupe.loop.fixed_step import Observer

from troupe_nrp.config import SimulationConfig
from troupe_nrp.external import ExternalPrograms
from troupe_nrp.travel import from_travel


class Simulation(Protocol):
    """What a run and the client need of a simulation.

    Attributes:
        now_ns: simulated time.
        step_ns: simulated time of one iteration.
        is_done: whether the status function has ended the last `advance`.
        iteration: synchronisations since the start.
        timeout_ns: simulated time of a run; 0: until something else ends it.
    """

    timeout_ns: int

    @property
    def now_ns(self) -> int:
        """Simulated time."""

    @property
    def step_ns(self) -> int:
        """Simulated time of one iteration."""

    @property
    def is_done(self) -> bool:
        """Whether the status function has ended the last `advance`."""

    @property
    def iteration(self) -> int:
        """Synchronisations since the start."""

    def start(self) -> list[Any]:
        """Return the datapacks known at time 0."""

    def advance(self, until_ns: int) -> None:
        """Run one synchronisation before a time, or up to that time if there is none."""

    def send(self, packs: Sequence[tuple[str, str, Any]]) -> None:
        """Keep values, (engine, pack, value), for the engines' next synchronisations."""

    def reset(self, packs: Sequence[tuple[str, str, Any]]) -> list[Any]:
        """Give the engines values, return to time 0 and return the datapacks known there."""

    def take_trajectory(self) -> list[Any]:
        """Return what the status function returned since the last call."""

    def close(self) -> None:
        """End everything; may be called again."""


class Between(Protocol):
    """What a simulation needs of what is between its engines, functions or a graph.

    Attributes:
        is_done: whether a function has said so since it was last set to false.
        trajectory: what functions returned for the client.
    """

    is_done: bool
    trajectory: list[Any]

    def requested(self) -> Mapping[str, tuple[str, ...]]:
        """Return the packs that are read of each engine."""

    def check(self, engines: Iterable[str]) -> None:
        """Raise a UserError if there is no engine of a name that is given."""

    def reset(self) -> None:
        """Forget all values."""

    def close(self) -> None:
        """Release what it holds; may be called again."""


class Loop(Protocol):
    """What a simulation needs of Troupe's loop.

    Attributes:
        iteration: synchronisations since the start.
        observers: called at each of them.
    """

    iteration: int
    observers: list[Observer]

    @property
    def next_ns(self) -> int:
        """Simulated time of the next synchronisation."""

    def reset(self, seeds: Sequence[int]) -> None:
        """Return to time 0."""

    def refresh(self) -> None:
        """Bring packs up to date."""

    def advance_to(self, until_ns: int) -> bool:
        """Advance until all synchronisations before a time are done."""


MakeLoop = Callable[[Mapping[str, Engine], Mapping[str, str]], Loop]


class LoopSimulation:
    """Engines on one clock, with the user's functions or graph between them.

    Attributes:
        step_ns: simulated time of one iteration.
        timeout_ns: simulated time of a run; 0: until something else ends it.
    """

    def __init__(
        self,
        config: SimulationConfig,
        between: Between,
        make_loop: MakeLoop,
        step_ns: int,
        timeout_ns: int,
    ) -> None:
        """Start programs and engines.

        Args:
            config: of the experiment.
            between: what is between the engines.
            make_loop: from the engines by name, and the name in the loop of each.
            step_ns: simulated time of one iteration.
            timeout_ns: simulated time of a run.

        Raises:
            UserError: if anything in the configuration or its files is wrong.
            EngineError: if an engine does not start.
        """
        self.step_ns, self.timeout_ns = step_ns, max(0, timeout_ns)
        self._config, self._exchange = config, between
        names = [engine.EngineName for engine in config.EngineConfigs]
        between.check(names)
        self._names = _loop_names(names)
        self._now_ns = 0
        self._pending: list[tuple[str, str, Any]] = []
        self._engines: dict[str, Engine] = {}
        self._programs = ExternalPrograms(config.ExternalProcesses)
        try:
            with self._watching_programs():
                self._open_engines()
                self._loop = make_loop(self._engines, self._names)
        except BaseException:
            self.close()
            raise
        self._loop.observers.append(self)

    @property
    def now_ns(self) -> int:
        """Simulated time."""
        return self._now_ns

    @property
    def is_done(self) -> bool:
        """Whether the status function has ended the last `advance`."""
        return self._exchange.is_done

    @property
    def iteration(self) -> int:
        """Synchronisations since the start."""
        return self._loop.iteration

    def start(self) -> list[Any]:
        """Return the datapacks known at time 0."""
        with self._watching_programs():
            self._loop.reset([0])
            self._loop.refresh()
        return self._known()

    def advance(self, until_ns: int) -> None:
        """Run one synchronisation before a time, or up to that time if there is none."""
        self._exchange.is_done = False
        target_ns = min(self._loop.next_ns, until_ns)
        with self._watching_programs():
            self._loop.advance_to(target_ns)
        self._now_ns = target_ns

    def synchronised(self, now_ns: int, engines: Sequence[str]) -> None:
        """Give the engines that are due what the client sent."""
        due = [item for item in self._pending if self._names[item[0]] in engines]
        self._pending = [item for item in self._pending if item not in due]
        for engine, pack, value in due:
            self._write(engine, pack, value)

    def send(self, packs: Sequence[tuple[str, str, Any]]) -> None:
        """Keep values for the engines' next synchronisations.

        Raises:
            UserError: if there is no such engine or pack.
        """
        for engine, pack, _ in packs:
            if engine not in self._engines:
                raise unknown("engine", engine, self._engines)
            if pack not in self._engines[engine].spec.inputs:
                raise unknown("datapack", pack, self._engines[engine].spec.inputs, engine)
        self._pending += packs

    def reset(self, packs: Sequence[tuple[str, str, Any]]) -> list[Any]:
        """Give the engines values, return to time 0 and return the datapacks known there."""
        self._pending = []
        self.send(packs)
        self._exchange.reset()
        self._now_ns = 0
        for engine, pack, value in packs:
            self._write(engine, pack, value)
        self._pending = []
        return self.start()

    def take_trajectory(self) -> list[Any]:
        """Return what the status function returned since the last call."""
        taken = list(self._exchange.trajectory)
        self._exchange.trajectory.clear()
        return taken

    def close(self) -> None:
        """End everything; may be called again."""
        engines, self._engines = self._engines, {}
        error: Exception | None = None
        for engine in engines.values():
            try:
                engine.close()
            except EngineError as raised:
                error = error or raised
        self._exchange.close()
        self._programs.stop()
        if error is not None:
            raise error

    def _open_engines(self) -> None:
        requested = self._exchange.requested()
        for engine in self._config.EngineConfigs:
            name = engine.EngineName
            settings = engine.settings(requested.get(name, ()))
            self._engines[name] = open_engine(settings, name, 1, 0)

    def _known(self) -> list[Any]:
        found = []
        for engine, packs in self._exchange.requested().items():
            for pack in packs:
                value = self._engines[engine].read(pack)[0]
                if value is not None:
                    found.append(from_travel(value))
        return found

    def _write(self, engine: str, pack: str, value: Any) -> None:
        values = np.empty(1, object)
        values[0] = value
        self._engines[engine].write(pack, values)

    @contextmanager
    def _watching_programs(self) -> Iterator[None]:
        try:
            yield
        except EngineError:
            self._programs.check()  # what the engine failed of, perhaps
            raise
        self._programs.check()


def _loop_names(engines: Sequence[str]) -> dict[str, str]:
    """Return a name of each engine in the loop, where a dot ends it."""
    return {name: name.replace(".", "\N{ONE DOT LEADER}") for name in engines}
