"""Functions bound to the packs of a loop: where arguments are read, where results go."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
import numpy.typing as npt

from troupe.core import World
from troupe.core.arrays import ArraySpec, Ids
from troupe.core.errors import UserError, unknown
from troupe.loop.bound_function import BoundFunction, Get, Put
from troupe.loop.connections import ConnectionSettings, Line
from troupe.loop.derived import Derived
from troupe.loop.feeds import Feed, unchangeable
from troupe.loop.functions import (
    Argument,
    From,
    InstanceTime,
    IsUpdated,
    Iteration,
    LoopFunction,
    Memory,
    SimulationTime,
    To,
    as_shape,
)
from troupe.loop.sampling import SampledLine, sampling_of
from troupe.loop.schedule import Timing
from troupe.loop.settings import ConnectionEntry
from troupe.loop.slots import Slot, own_keys, under
from troupe.loop.stored import restore_stored, stored

ORDER = ("preprocessing", "transceiver", "status")


@dataclass(frozen=True)
class Exchange:
    """What happens between packs and functions when certain engines synchronise together.

    Attributes:
        engines: their names.
        feeds: packs that set out on their way to functions.
        functions: to run, in order.
        slots: what is sent to each of the engines.
    """

    engines: frozenset[str]
    feeds: tuple[Feed, ...]
    functions: tuple[BoundFunction, ...]
    slots: Mapping[str, tuple[Slot, ...]]


class Wiring:
    """All functions of a loop, the values between them and their memories.

    Attributes:
        is_done: whether the status function has ended the run.
    """

    def __init__(
        self,
        world: World,
        functions: Sequence[LoopFunction],
        connections: Sequence[ConnectionEntry],
        timings: Mapping[str, Timing],
        tick_ns: int | None = None,
    ) -> None:
        """Bind functions to the packs of a world.

        Args:
            world: whose packs they read and write.
            functions: to bind.
            connections: settings for packs, over those in the functions' annotations.
            timings: when engines exchange packs, by name.
            tick_ns: how often those functions run that belong to all engines, if not only at
                their exchanges.

        Raises:
            UserError: if a function or connection names an engine or pack that does not exist, or
                asks for another shape or unit.
        """
        self.is_done = False
        self._world = world
        self._timings = timings
        self._tick_ns = tick_ns
        self._from = _by_pack([(entry.source, entry) for entry in connections])
        self._to = _by_pack([(entry.target, entry) for entry in connections])
        self._now_ns = 0
        self._iteration = 0
        self._due: frozenset[str] = frozenset()
        self._start_ns = np.zeros(world.num_instances, np.int64)
        self._derived: dict[str, Derived] = {}
        self._memories: dict[str, tuple[Memory, npt.NDArray[Any]]] = {}
        self._feeds: dict[str, Feed] = {}
        self._slots: dict[str, Slot] = {}
        ordered = sorted(functions, key=lambda f: ORDER.index(f.kind))
        self._functions = tuple(self._bind(function) for function in ordered)
        self._check_connections()

    def exchange(self, engines: frozenset[str]) -> Exchange:
        """Return what happens when these engines synchronise together."""
        return Exchange(
            engines=engines,
            feeds=tuple(feed for feed in self._feeds.values() if feed.engine in engines),
            functions=tuple(
                bound
                for bound in self._functions
                if bound.function.kind == "status" or bound.function.triggers() & engines
            ),
            slots={
                name: tuple(s for s in self._slots.values() if _engine(s.pack) == name)
                for name in engines
            },
        )

    def run(self, exchange: Exchange, now_ns: int, iteration: int) -> None:
        """Run the functions of a synchronisation; results wait in the slots."""
        self._now_ns, self._iteration, self._due = now_ns, iteration, exchange.engines
        for feed in exchange.feeds:
            feed.send(now_ns)
        for bound in exchange.functions:
            result = bound.run(now_ns)
            if bound.function.kind == "status":
                self.is_done = bound.is_true(result)

    def latest(self, pack: str) -> npt.NDArray[Any] | None:
        """Return the newest value of a pack that functions write, None if there is none yet."""
        if pack in self._slots:
            return self._slots[pack].value
        derived = self._derived.get(pack)
        return None if derived is None else derived.value

    @property
    def has_status(self) -> bool:
        """Whether a status function may end the run."""
        return any(bound.function.kind == "status" for bound in self._functions)

    @property
    def written(self) -> dict[str, ArraySpec]:
        """The packs that functions write, with their specs as far as they are known."""
        slots = {pack: self._world.inputs[pack] for pack in self._slots}
        return slots | {pack: derived.spec for pack, derived in self._derived.items()}

    def reset(self, seeds: Sequence[int], instances: Ids | None, now_ns: int) -> None:
        """Forget what is between engines and functions, for instances."""
        rows: Any = slice(None) if instances is None else instances
        self._start_ns[rows] = now_ns
        self.is_done = False
        for memory, values in self._memories.values():
            values[rows] = memory.initial
        for feed in self._feeds.values():
            feed.reset(seeds, instances)
        for slot in self._slots.values():
            slot.reset(seeds, instances)

    def snapshot(self) -> dict[str, npt.NDArray[Any]]:
        """Return the state of memories and connections, arrays that lead with the instances."""
        arrays = {"start_ns": self._start_ns.copy()}
        arrays |= under("memory", {k: stored(values) for k, (_, values) in self._memories.items()})
        for name, feed in self._feeds.items():
            arrays |= under(f"line/{name}", feed.snapshot())
        for name, slot in self._slots.items():
            arrays |= under(f"slot/{name}", slot.snapshot())
        for name, derived in self._derived.items():
            arrays |= under(f"derived/{name}", derived.snapshot())
        return arrays

    def restore(self, snapshot: Mapping[str, npt.NDArray[Any]]) -> None:
        """Return to a snapshot's state."""
        self._start_ns[...] = snapshot["start_ns"]
        for name, (_, values) in self._memories.items():
            restore_stored(values, snapshot[f"memory/{name}"])
        for name, derived in self._derived.items():
            derived.restore(own_keys(snapshot, f"derived/{name}"))
        for name, feed in self._feeds.items():
            feed.restore(own_keys(snapshot, f"line/{name}"))
        for name, slot in self._slots.items():
            slot.restore(own_keys(snapshot, f"slot/{name}"))
        self.is_done = False

    def _bind(self, function: LoopFunction) -> BoundFunction:
        where = f"function '{function.name}'"
        for name in function.engines or ():
            self._check_engine(name, where)
        # what says whether a pack is updated asks its feed
        ordered = sorted(
            function.arguments.items(), key=lambda item: isinstance(item[1], IsUpdated)
        )
        gets = {n: self._get(a, function, f"{where}, '{n}'") for n, a in ordered}
        puts = [self._put(to, function, f"{where}, its result") for to in function.results]
        return BoundFunction(function, [gets[name] for name in function.arguments], puts)

    def _get(self, argument: Argument, function: LoopFunction, where: str) -> Get:
        if isinstance(argument, From):
            return self._get_pack(argument, function, where)
        if isinstance(argument, IsUpdated):
            engine = _engine(argument.pack)
            self._check_engine(engine, where)
            if argument.pack not in self._derived:
                self._readable(argument.pack, where)
            feed = self._feeds.get(f"{function.name}.{argument.pack}")
            if feed is not None and feed.is_sampled:
                return lambda: feed.is_news(self._now_ns)
            return lambda: engine in self._due
        if isinstance(argument, Memory):
            try:
                values = argument.new(self._world.num_instances)
            except (TypeError, ValueError) as error:
                raise UserError(f"{where}: the memory cannot be made: {error}.") from error
            key = f"{function.name}.{argument.name}"
            if key in self._memories:
                raise UserError(f"{where}: there is another memory '{key}'; name one of both anew.")
            self._memories[key] = argument, values
            return lambda: values
        if argument is SimulationTime:
            return lambda: self._now_ns
        if argument is InstanceTime:
            return lambda: self._now_ns - self._start_ns
        assert argument is Iteration
        return lambda: self._iteration

    def _get_pack(self, source: From, function: LoopFunction, where: str) -> Get:
        engine, pack = _engine(source.pack), source.pack
        self._check_engine(engine, where)
        if function.kind == "preprocessing" and (engine,) != function.engines:
            raise UserError(
                f"{where}: a preprocessing function reads from its own engine "
                f"'{', '.join(function.engines or ())}' only, not '{pack}'."
            )
        if pack in self._derived:
            return self._get_derived(self._derived[pack], source, where)
        spec = self._readable(pack, where)
        _check_spec(pack, spec, source.unit, source.shape, where)
        settings = self._from.get(pack) or source.connection or ConnectionSettings()
        read, name = self._world.reader(pack)
        if settings.is_direct:
            return lambda: unchangeable(read(name))
        key = f"{function.name}.{pack}"
        while key in self._feeds:  # it reads the pack twice
            key += "'"
        exchanges = [self._timings[engine], *self._runs(function)]
        line = self._line(key, pack, spec, settings, exchanges, where)
        feed = self._feeds[key] = Feed(engine, read, name, line)
        return lambda: feed.receive(self._now_ns)

    def _get_derived(self, derived: Derived, source: From, where: str) -> Get:
        if source.pack in self._from or source.connection is not None:
            raise UserError(
                f"{where}: a function makes '{source.pack}' here; there is no connection to delay."
            )
        if derived.unit is not None:
            spec = ArraySpec((), derived.unit)
            _check_spec(source.pack, spec, source.unit, None, where)
        return lambda: unchangeable(derived.read(where))

    def _put(self, to: To, function: LoopFunction, where: str) -> Put:
        pack, engine = to.pack, _engine(to.pack)
        self._check_engine(engine, where)
        if function.kind == "preprocessing":
            if pack in self._world.outputs or pack in self._world.inputs:
                raise UserError(f"{where}: '{pack}' is the engine's own; give a new name.")
            derived = self._derived.setdefault(
                pack, Derived(pack, to.unit, self._world.num_instances)
            )
            return derived.fill
        if pack not in self._world.inputs:
            raise unknown("datapack to write", pack, self._world.inputs, where)
        spec = self._world.inputs[pack]
        _check_spec(pack, spec, to.unit, None, where)
        if pack not in self._slots:
            settings = self._to.get(pack) or to.connection or ConnectionSettings()
            self._slots[pack] = self._slot(pack, spec, settings, where)
        return self._slots[pack].fill

    def _slot(self, pack: str, spec: ArraySpec, settings: ConnectionSettings, where: str) -> Slot:
        write, _ = self._world.writer(pack)
        line = None
        if not settings.is_direct:
            # functions of a faster engine may fill it more often than it is sent
            exchanges = [self._timings[_engine(pack)]]
            line = self._line(pack, pack, spec, settings, exchanges, where)
        return Slot(pack, spec, self._world.num_instances, write, settings, line)

    def _line(
        self,
        name: str,
        pack: str,
        spec: ArraySpec,
        settings: ConnectionSettings,
        exchanges: Sequence[Timing],
        where: str,
    ) -> Line | SampledLine:
        timing, num_instances = self._timings[_engine(pack)], self._world.num_instances
        if not settings.is_sampled:
            return Line(name, settings, spec, num_instances, timing.sync_ns)
        sampling = sampling_of(settings, timing, exchanges, f"{where}: connection of '{pack}'")
        line = Line(name, settings, spec, num_instances, sampling.every_ns)
        return SampledLine(line, sampling, self._start_ns)

    def _runs(self, function: LoopFunction) -> list[Timing]:
        """Return when a function runs."""
        engines = function.triggers() or self._timings.keys()
        # a name that does not exist is refused with the argument that has it
        timings = [self._timings[name] for name in engines if name in self._timings]
        if self._tick_ns is not None and len(engines) == len(self._timings):
            timings.append(Timing(self._tick_ns))
        return timings

    def _readable(self, pack: str, where: str) -> ArraySpec:
        if pack not in self._world.outputs:
            valid = [*self._world.outputs, *self._derived]
            raise unknown("datapack to read", pack, valid, where)
        return self._world.outputs[pack]

    def _check_engine(self, name: str, where: str) -> None:
        if name not in self._timings:
            raise unknown("engine", name, self._timings, where)

    def _check_connections(self) -> None:
        read = {_pack for bound in self._functions for _pack in _packs_read(bound.function)}
        for kind, entries, used in (("from", self._from, read), ("to", self._to, self._slots)):
            for pack in entries:
                if pack not in used:
                    done = "read" if kind == "from" else "write"
                    raise unknown(f"pack that functions {done}", pack, used, "loop.connections")


def _engine(pack: str) -> str:
    return pack.split(".", 1)[0]


def _by_pack(
    entries: Sequence[tuple[str | None, ConnectionEntry]],
) -> dict[str, ConnectionEntry]:
    found: dict[str, ConnectionEntry] = {}
    for pack, entry in entries:
        if pack in found:
            raise UserError(f"loop.connections: '{pack}' stands twice.")
        if pack is not None:
            found[pack] = entry
    return found


def _packs_read(function: LoopFunction) -> list[str]:
    return [a.pack for a in function.arguments.values() if isinstance(a, From)]


def _check_spec(
    pack: str, spec: ArraySpec, unit: str | None, shape: int | tuple[int, ...] | None, where: str
) -> None:
    if unit is not None and unit != spec.unit:
        raise UserError(f"{where}: '{pack}' has the unit '{spec.unit}', not '{unit}'.")
    if shape is not None and as_shape(shape) != spec.shape:
        raise UserError(f"{where}: '{pack}' has the shape {spec.shape}, not {as_shape(shape)}.")
