"""The event loop: simulated time is real time, and nobody waits for an engine that is late.

At each tick: take what is done and what came from outside, run nodes and functions, send what they
returned, start engines again, advance those of this process, sleep until the next tick.
"""

from __future__ import annotations

import logging
from collections.abc import Mapping, Sequence
from dataclasses import replace
from typing import Any

from troupe.core.arrays import Ids
from troupe.core.time import format_duration
from troupe.engines.base import Engine, Fault
from troupe.loop.event_loop_members import EventMember, check_timings
from troupe.loop.fixed_step import Observer, world_of
from troupe.loop.functions import LoopFunction
from troupe.loop.graph_run import GraphRun
from troupe.loop.pacing import LATE_NS, Pacing
from troupe.loop.schedule import Timing
from troupe.loop.settings import ConnectionEntry
from troupe.loop.wiring import Exchange, Wiring

LOOK_EVERY_NS = 200_000
"""How often the loop looks for an engine that may still come in time."""

logger = logging.getLogger(__name__)


class EventLoop:
    """Steps engines in soft real time.

    Deadlines are multiples of the step since one start. A tick that is late is followed at once by
    the next until time is caught up. A concurrent engine whose advance is still running is left
    alone: its packs stay those of before, what it is sent waits, and it counts as late; but if the
    loop started it late, it may be as late itself. Engines of this process advance in the loop's
    thread.

    Attributes:
        world: the datapacks of all engines.
        engines: by name.
        step_ns: simulated time between two ticks.
        wiring: functions, nodes, connections and memories between the engines.
        graph: of nodes.
        pacing: the deadlines.
        iteration: ticks since the start.
        now_ns: simulated time of the last tick.
        observers: called at every tick with the engines that have new packs.
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
        pacing: Pacing | None = None,
    ) -> None:
        """Join engines that have the same number of instances.

        Args:
            engines: by name.
            step_ns: simulated time between two ticks.
            timings: when engines synchronise, in multiples of the step; default: at each.
            functions: between them, for the engines that have new packs.
            graph: nodes, which may run at each tick.
            connections: settings for what functions read and write, over those in their files.
            pacing: default: real time.

        Raises:
            UserError: if a function or connection names an engine or pack that does not exist, or
                asks for another shape or unit, or an engine does not fit the step.
        """
        self.engines = dict(engines)
        self.step_ns = step_ns
        self.num_instances = next(iter(engines.values())).spec.num_instances
        self.world = world_of(engines, self.num_instances)
        self.graph = graph
        self.pacing = pacing or Pacing(1.0)
        self._real_step_ns = step_ns / self.pacing.factor
        self.observers: list[Observer] = []
        timings = {name: (timings or {}).get(name, Timing(step_ns)) for name in engines}
        check_timings(timings, step_ns)
        self._members = [EventMember(n, engine, timings[n]) for n, engine in engines.items()]
        of_graph = graph.functions if graph is not None else ()
        self._at_each_tick = {id(function) for function in of_graph}
        self.wiring = Wiring(self.world, [*functions, *of_graph], connections, timings, step_ns)
        self._exchanges: dict[frozenset[str], Exchange] = {}
        self._arrived: list[EventMember] = []
        self._faults: list[Fault] = []
        self._warned: set[str] = set()
        self._late_ns = 0
        self._is_synchronised = self._is_timed = False
        self._restart()

    @property
    def next_ns(self) -> int:
        """Simulated time of the next tick."""
        return self.now_ns + self.step_ns

    def reset(self, seeds: Sequence[int], instances: Ids | None = None) -> None:
        """Return instances to the engines' initial states; `refresh` makes packs current.

        Advances that are running are waited for. A reset of all returns time, counts and messages
        to the start.
        """
        for member in self._members:
            member.complete()
            member.engine.reset(seeds, instances)
        if instances is None or len(instances) == self.num_instances:
            self._restart()
            if self.graph is not None:
                self.graph.reset()
        self.wiring.reset(seeds, instances, self.now_ns)

    def refresh(self, instances: Ids | None = None) -> None:
        """Bring the packs of instances up to date with what was written, at the same time."""
        for engine in self.engines.values():
            engine.advance(0, instances)

    def advance(self) -> None:
        """Advance by one tick."""
        self.advance_to(self.next_ns)

    def advance_to(self, until_ns: int) -> bool:
        """Advance in real time to the first tick at or after a time; its functions run next.

        Returns:
            Whether the status function has ended the run, earlier perhaps.
        """
        self._faults = []
        if not self._is_timed:
            self._is_timed = True
            self.pacing.wait(self.now_ns)
        while self.now_ns < until_ns:
            if self.synchronise():
                return True
            self._next()
        return False

    def synchronise(self) -> bool:
        """Run functions and nodes, send their results, start the engines that are idle.

        Done once for each tick; again it does nothing.

        Returns:
            Whether the status function has ended the run.
        """
        if self._is_synchronised:
            return False
        names = tuple(member.name for member in self._arrived)
        exchange = self._exchange(frozenset(names))
        self.wiring.run(exchange, self.now_ns, self.iteration)
        for observer in self.observers:
            observer.synchronised(self.now_ns, names)
        self.iteration += 1
        if self.wiring.is_done:
            return True
        grace_ns = self._grace_ns()
        for member in self._arrived:
            for slot in exchange.slots[member.name]:
                slot.send(self.now_ns)
            member.start(self.now_ns, grace_ns)
        self._is_synchronised = True
        return False

    def faults(self) -> list[Fault]:
        """Return the instances that failed in the last advance."""
        return self._faults

    def statistics(self) -> dict[str, Any]:
        """Return how deadlines were met, how late engines were, and the counts of ports."""
        engines = {
            m.name: {"late": m.num_late, "behind_ms": m.num_late * self.step_ns * 1e-6}
            for m in self._members
            if m.is_concurrent
        }
        ports = self.graph.statistics() if self.graph is not None else {}
        return {**self.pacing.statistics(), "engines": engines, "ports": ports}

    def close(self) -> None:
        """Close all engines and ports."""
        if self.graph is not None:
            self.graph.close()
        for engine in self.engines.values():
            engine.close()

    def _restart(self) -> None:
        for member in self._members:
            member.restart()
        self.pacing.restart()
        self.now_ns = self.iteration = 0
        self._arrived = list(self._members)
        self._faults = []
        self._warned = set()
        self._late_ns = 0
        self._is_synchronised = self._is_timed = False

    def _next(self) -> None:
        """Go to the next tick when it is due."""
        self.now_ns += self.step_ns
        due = [member for member in self._members if member.is_due(self.now_ns)]
        for member in due:
            if not member.is_concurrent:
                member.complete()
        self._late_ns = self.pacing.wait(self.now_ns)
        if self._late_ns > self._real_step_ns:
            self._warn("the loop")
        self._arrived = [member for member in due if self._has_arrived(member)]
        for member in due:
            if member in self._arrived:
                self._faults += member.engine.faults()
            else:
                self._warn(f"engine '{member.name}'")
        self._is_synchronised = False

    def _has_arrived(self, member: EventMember) -> bool:
        while not member.is_done():
            self._late_ns = self.pacing.lateness_ns(self.now_ns)
            left_ns = member.grace_ns - self._late_ns
            if left_ns <= 0:
                member.num_late += 1
                return False
            self.pacing.sleep(min(left_ns, LOOK_EVERY_NS) * 1e-9)
        member.complete()
        return True

    def _grace_ns(self) -> int:
        """Return how late engines that are started now may be because the loop itself is.

        A loop that is late hurries through its ticks, without real time for engines between them.
        What nodes take in each tick gives no grace, or lateness would grow.
        """
        late_ns = self.pacing.lateness_ns(self.now_ns) if self._is_timed else 0
        if late_ns > self._real_step_ns:
            return late_ns
        return self._late_ns if self._late_ns > LATE_NS else 0

    def _warn(self, who: str) -> None:
        if who not in self._warned:
            self._warned.add(who)
            time = format_duration(self.now_ns)
            logger.warning("%s is late at %s; from now on this is only counted", who, time)

    def _exchange(self, engines: frozenset[str]) -> Exchange:
        """Return what happens when these engines have new packs; nodes look at each tick."""
        if engines not in self._exchanges:
            everything = self.wiring.exchange(frozenset(self.engines))
            functions = [
                bound
                for bound in everything.functions
                if bound.function.kind == "status"
                or id(bound.function) in self._at_each_tick
                or bound.function.triggers() & engines
            ]
            exchange = self.wiring.exchange(engines)
            self._exchanges[engines] = replace(exchange, functions=tuple(functions))
        return self._exchanges[engines]
