"""The fixed-step loop: engines on one exact clock, with the user's functions between them.

At each synchronisation: wait for the engines that are due, run the functions that are theirs, send
what the functions returned, start these engines again. Engines that are not due go on meanwhile.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from typing import Any, Protocol

import numpy as np
import numpy.typing as npt

from troupe.core import World
from troupe.core.arrays import ArraySpec, Ids
from troupe.engines.base import Engine, Fault
from troupe.loop.functions import LoopFunction
from troupe.loop.graph_run import GraphRun
from troupe.loop.members import Member
from troupe.loop.schedule import Schedule, Timing
from troupe.loop.settings import ConnectionEntry
from troupe.loop.slots import Slot, own_keys, under
from troupe.loop.wiring import Exchange, Wiring

Snapshot = dict[str, npt.NDArray[Any]]


class Observer(Protocol):
    """What looks at every synchronisation, e.g. a recording."""

    def synchronised(self, now_ns: int, engines: Sequence[str]) -> None:
        """Look at the packs after functions ran and before anything advances.

        Args:
            now_ns: simulated time.
            engines: names of those that are due.
        """


@dataclass(frozen=True)
class _Plan:
    """What happens when certain engines are due together.

    Attributes:
        names: of the engines.
        complete: waits for them.
        exchange: between their packs and functions.
        members: the engines, with their numbers and what is sent to each.
    """

    names: tuple[str, ...]
    complete: Callable[[], None]
    exchange: Exchange
    members: tuple[tuple[int, Member, tuple[Slot, ...]], ...]


class FixedStepLoop:
    """Steps engines together.

    Attributes:
        world: the datapacks of all engines.
        engines: by name.
        step_ns: simulated time of a step.
        wiring: functions, connections and memories between the engines.
        iteration: synchronisations since the start.
        observers: called at every synchronisation.
    """

    def __init__(
        self,
        engines: Mapping[str, Engine],
        step_ns: int,
        *,
        timings: Mapping[str, Timing] | None = None,
        functions: Sequence[LoopFunction] = (),
        graph: GraphRun | None = None,
        connections: Sequence[ConnectionEntry] = (),
    ) -> None:
        """Join engines that have the same number of instances.

        Args:
            engines: by name.
            step_ns: simulated time of a step.
            timings: when engines synchronise; default: every step.
            functions: between them.
            graph: nodes, which run at every synchronisation.
            connections: settings for what functions read and write, over those in their files.

        Raises:
            UserError: if a function or connection names an engine or pack that does not exist, or
                asks for another shape or unit.
        """
        self.engines = dict(engines)
        self.step_ns = step_ns
        self.num_instances = next(iter(engines.values())).spec.num_instances
        self.world = world_of(engines, self.num_instances)
        self.observers: list[Observer] = []
        self.iteration = 0
        timings = {name: (timings or {}).get(name, Timing(step_ns)) for name in engines}
        self._members = [Member(name, engine) for name, engine in engines.items()]
        self._schedule = Schedule([timings[name] for name in engines])
        self._graph = graph
        of_graph = graph.functions if graph is not None else ()
        self.wiring = Wiring(self.world, [*functions, *of_graph], connections, timings)
        self._plans: dict[tuple[int, ...], _Plan] = {}
        self._faults: list[Fault] = []
        self._is_synchronised = False
        self._threads: ThreadPoolExecutor | None = None

    @property
    def now_ns(self) -> int:
        """Simulated time of the last synchronisation."""
        return self._schedule.now_ns

    @property
    def next_ns(self) -> int:
        """Simulated time of the next synchronisation."""
        return self._schedule.peek()

    def reset(self, seeds: Sequence[int], instances: Ids | None = None) -> None:
        """Return instances to the engines' initial states; `refresh` makes packs current.

        A reset of all returns the loop's time to 0.
        """
        for member in self._members:
            member.complete()
            member.engine.reset(seeds, instances)
        if instances is None or len(instances) == self.num_instances:
            self._schedule.restart()
            self.iteration = 0
            self._is_synchronised = False
        self.wiring.reset(seeds, instances, self.now_ns)

    def refresh(self, instances: Ids | None = None) -> None:
        """Bring the packs of instances up to date with what was written, at the same time."""
        for engine in self.engines.values():
            engine.advance(0, instances)

    def advance(self) -> None:
        """Advance all engines by one step."""
        self.advance_to(self.now_ns + self.step_ns)

    def advance_to(self, until_ns: int) -> bool:
        """Advance until all exchanges before a time are done and the packs are those at it.

        Functions do not run at the time itself; the next advance begins with them.

        Returns:
            Whether the status function has ended the run, earlier perhaps.
        """
        self._faults = []
        while True:
            if self.synchronise():
                return True
            if self._schedule.peek() >= until_ns:
                break
            self._next()
        if self._schedule.peek() == until_ns:
            self._next()
        return False

    def synchronise(self) -> bool:
        """Run the functions of the engines that are due, send their results, start the engines.

        Done once for each exchange; again it does nothing.

        Returns:
            Whether the status function has ended the run.
        """
        if self._is_synchronised:
            return False
        schedule, plan = self._schedule, self._plan()
        now_ns = schedule.now_ns
        self.wiring.run(plan.exchange, now_ns, self.iteration)
        for observer in self.observers:
            observer.synchronised(now_ns, plan.names)
        self.iteration += 1
        if self.wiring.is_done:
            return True
        for index, member, slots in plan.members:
            for slot in slots:
                slot.send(now_ns)
            member.start(schedule.following(index) - now_ns)
        self._is_synchronised = True
        return False

    def faults(self) -> list[Fault]:
        """Return the instances that failed in the last advance."""
        return self._faults

    def snapshot(self) -> Snapshot:
        """Return the exact state of all engines, connections and functions' memories."""
        arrays = {f"world/{name}": values.copy() for name, values in self.world.arrays.items()}
        for name, engine in self.engines.items():
            arrays |= {f"{name}/{key}": values for key, values in engine.snapshot().items()}
        clock = {"now_ns": self.now_ns, "iteration": self.iteration}
        counts = {name: np.full(self.num_instances, count) for name, count in clock.items()}
        return arrays | under("loop", counts | self.wiring.snapshot())

    def restore(self, snapshot: Mapping[str, npt.NDArray[Any]]) -> None:
        """Return to a snapshot's state, bit for bit; engines must be due together."""
        for name, values in self.world.arrays.items():
            values[...] = snapshot[f"world/{name}"]
        for name, engine in self.engines.items():
            engine.restore(own_keys(snapshot, name))
        own = own_keys(snapshot, "loop")
        self.wiring.restore(own)
        self._schedule.set(int(own["now_ns"][0]))
        self.iteration = int(own["iteration"][0])
        self._is_synchronised = False

    def close(self) -> None:
        """Close all engines and ports."""
        if self._graph is not None:
            self._graph.close()
        if self._threads is not None:
            self._threads.shutdown()
        for engine in self.engines.values():
            engine.close()

    def _next(self) -> None:
        """Wait for the engines that are due next."""
        self._schedule.advance()
        plan = self._plan()
        plan.complete()
        for _, member, _ in plan.members:
            faults = member.engine.faults()
            if faults:
                self._faults += faults
        self._is_synchronised = False

    def _plan(self) -> _Plan:
        due = self._schedule.due
        plan = self._plans.get(due)
        if plan is None:
            names = tuple(self._members[i].name for i in due)
            exchange = self.wiring.exchange(frozenset(names))
            plan = _Plan(
                names=names,
                complete=self._completion([self._members[i] for i in due]),
                exchange=exchange,
                members=tuple(
                    (i, self._members[i], exchange.slots[name])
                    for i, name in zip(due, names, strict=True)
                ),
            )
            self._plans[due] = plan
        return plan

    def _completion(self, members: Sequence[Member]) -> Callable[[], None]:
        """Return what waits for members: on threads of their own where that pays."""
        threaded = [m for m in members if not m.is_concurrent and m.engine.spec.releases_gil]
        # others advance elsewhere already: this thread's work comes first, waiting last
        ordered = sorted(members, key=lambda m: m.is_concurrent)
        if len(threaded) < 2:
            return _one_after_the_other([m.complete for m in ordered])
        if self._threads is None:
            self._threads = ThreadPoolExecutor(len(self._members), thread_name_prefix="engine")
        threads, first, rest = self._threads, threaded[0], threaded[1:]
        others = [m for m in ordered if m not in threaded]

        def complete() -> None:
            futures = [threads.submit(m.complete) for m in rest]
            first.complete()
            for member in others:
                member.complete()
            for future in futures:
                future.result()

        return complete


def _one_after_the_other(calls: Sequence[Callable[[], None]]) -> Callable[[], None]:
    if len(calls) == 1:
        return calls[0]

    def all_calls() -> None:
        for call in calls:
            call()

    return all_calls


def world_of(engines: Mapping[str, Engine], num_instances: int) -> World:
    """Return the datapacks of engines under their full names."""
    inputs: dict[str, ArraySpec] = {}
    outputs: dict[str, ArraySpec] = {}
    for name, engine in engines.items():
        inputs |= {f"{name}.{pack}": spec for pack, spec in engine.spec.inputs.items()}
        outputs |= {f"{name}.{pack}": spec for pack, spec in engine.spec.outputs.items()}
    return World(engines, outputs, inputs, num_instances)
