"""Functions bound to the packs of a loop: where arguments are read, where results go."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
import numpy.typing as npt

from troupe.core import World
from troupe.core.arrays import ArraySpec, Ids
from troupe.core.errors import FunctionError, UserError, unknown
from troupe.core.time import NANOSECONDS
from troupe.core.user_code import user_traceback
from troupe.loop.connections import ConnectionSettings, Line
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
)
from troupe.loop.schedule import Timing
from troupe.loop.settings import ConnectionEntry
from troupe.loop.slots import Slot, own_keys, under

ORDER = ("preprocessing", "transceiver", "status")

Get = Callable[[], Any]
Put = Callable[[Any], None]


class BoundFunction:
    """A function with its arguments' sources and its results' targets.

    Attributes:
        function: of the user's.
        gets: one call for each argument.
        puts: one call for each result.
    """

    def __init__(self, function: LoopFunction, gets: Sequence[Get], puts: Sequence[Put]) -> None:
        """Bind a function."""
        self.function = function
        self.gets = tuple(gets)
        self.puts = tuple(puts)

    def run(self, now_ns: int) -> Any:
        """Call the function and pass its results on; return what it returned.

        Raises:
            FunctionError: if it raises, with the user's own lines and the simulated time, or its
                result does not fit where it goes.
            UserError: if the result does not fit already at the start.
        """
        try:
            result = self.function.call(*[get() for get in self.gets])
        except Exception as error:
            raise FunctionError(
                f"function '{self.function.name}' raised at {now_ns / NANOSECONDS['s']:g} s:\n"
                f"{user_traceback(error)}"
            ) from error
        if result is None or not self.puts:
            return result
        try:
            if len(self.puts) == 1:
                self.puts[0](result)
            else:
                for put, value in zip(self.puts, result, strict=True):
                    if value is not None:
                        put(value)
        except (UserError, ValueError) as error:
            message = f"function '{self.function.name}': its result: {error}"
            if now_ns:
                raise FunctionError(f"{message} (at {now_ns / NANOSECONDS['s']:g} s)") from error
            raise UserError(message) from error
        return result


@dataclass(frozen=True)
class Exchange:
    """What happens between packs and functions when certain engines synchronise together.

    Attributes:
        engines: their names.
        feeds: packs that set out on lines to functions.
        functions: to run, in order.
        slots: what is sent to each of the engines.
    """

    engines: frozenset[str]
    feeds: tuple[tuple[str, Line], ...]
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
    ) -> None:
        """Bind functions to the packs of a world.

        Raises:
            UserError: if a function or connection names an engine or pack that does not exist, or
                asks for another shape or unit.
        """
        self.is_done = False
        self._world = world
        self._timings = timings
        self._from = {entry.source: entry for entry in connections if entry.source}
        self._to = {entry.target: entry for entry in connections if entry.target}
        self._now_ns = 0
        self._iteration = 0
        self._due: frozenset[str] = frozenset()
        self._start_ns = np.zeros(world.num_instances, np.int64)
        self._derived: dict[str, npt.NDArray[Any] | None] = {}
        self._memories: dict[str, tuple[Memory, npt.NDArray[Any]]] = {}
        self._lines: dict[str, tuple[str, Line]] = {}
        self._slots: dict[str, Slot] = {}
        ordered = sorted(functions, key=lambda f: ORDER.index(f.kind))
        self._functions = tuple(self._bind(function) for function in ordered)
        self._check_connections()

    def exchange(self, engines: frozenset[str]) -> Exchange:
        """Return what happens when these engines synchronise together."""
        return Exchange(
            engines=engines,
            feeds=tuple(feed for feed in self._lines.values() if _engine(feed[0]) in engines),
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
        for pack, line in exchange.feeds:
            line.send(self._world.read(pack), now_ns)
        for bound in exchange.functions:
            result = bound.run(now_ns)
            if bound.function.kind == "status":
                self.is_done = bool(np.all(result))

    def latest(self, pack: str) -> npt.NDArray[Any] | None:
        """Return the newest value of a pack that functions write, None if there is none yet."""
        if pack in self._slots:
            return self._slots[pack].value
        return self._derived.get(pack)

    @property
    def has_status(self) -> bool:
        """Whether a status function may end the run."""
        return any(bound.function.kind == "status" for bound in self._functions)

    @property
    def written(self) -> tuple[str, ...]:
        """The packs that functions write."""
        return (*self._slots, *self._derived)

    def reset(self, seeds: Sequence[int], instances: Ids | None, now_ns: int) -> None:
        """Forget what is between engines and functions, for instances."""
        rows: Any = slice(None) if instances is None else instances
        self._start_ns[rows] = now_ns
        self.is_done = False
        for memory, values in self._memories.values():
            values[rows] = memory.initial
        for _, line in self._lines.values():
            line.reset(seeds, instances)
        for slot in self._slots.values():
            slot.reset(seeds, instances)

    def snapshot(self) -> dict[str, npt.NDArray[Any]]:
        """Return the state of memories and connections, arrays that lead with the instances."""
        arrays = {"start_ns": self._start_ns.copy()}
        arrays |= under("memory", {k: values.copy() for k, (_, values) in self._memories.items()})
        arrays |= under("derived", {k: v.copy() for k, v in self._derived.items() if v is not None})
        for name, (_, line) in self._lines.items():
            arrays |= under(f"line/{name}", line.snapshot())
        for name, slot in self._slots.items():
            arrays |= under(f"slot/{name}", slot.snapshot())
        return arrays

    def restore(self, snapshot: Mapping[str, npt.NDArray[Any]]) -> None:
        """Return to a snapshot's state."""
        self._start_ns[...] = snapshot["start_ns"]
        for name, (_, values) in self._memories.items():
            values[...] = snapshot[f"memory/{name}"]
        self._derived |= own_keys(snapshot, "derived")
        for name, (_, line) in self._lines.items():
            line.restore(own_keys(snapshot, f"line/{name}"))
        for name, slot in self._slots.items():
            slot.restore(own_keys(snapshot, f"slot/{name}"))
        self.is_done = False

    def _bind(self, function: LoopFunction) -> BoundFunction:
        where = f"function '{function.name}'"
        for name in function.engines or ():
            self._check_engine(name, where)
        gets = [self._get(a, function, f"{where}, '{n}'") for n, a in function.arguments.items()]
        puts = [self._put(to, function, f"{where}, its result") for to in function.results]
        return BoundFunction(function, gets, puts)

    def _get(self, argument: Argument, function: LoopFunction, where: str) -> Get:
        if isinstance(argument, From):
            return self._get_pack(argument, function, where)
        if isinstance(argument, IsUpdated):
            engine = _engine(argument.pack)
            self._check_engine(engine, where)
            return lambda: engine in self._due
        if isinstance(argument, Memory):
            values = np.full(
                (self._world.num_instances, *argument.shape), argument.initial, argument.dtype
            )
            self._memories[f"{function.name}.{argument.name}"] = argument, values
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
            return lambda: self._derived_value(pack, where)
        spec = self._readable(pack, where)
        _check_spec(pack, spec, source.unit, source.shape, where)
        settings = self._from.get(pack) or source.connection or ConnectionSettings()
        read, name = self._world.reader(pack)
        if settings.is_direct:
            return lambda: read(name)
        interval_ns = self._timings[engine].sync_ns
        key = f"{function.name}.{pack}"
        line = Line(key, settings, spec, self._world.num_instances, interval_ns)
        self._lines[key] = pack, line

        def receive() -> npt.NDArray[Any]:
            line.deliver(self._now_ns)
            return line.value

        return receive

    def _put(self, to: To, function: LoopFunction, where: str) -> Put:
        pack, engine = to.pack, _engine(to.pack)
        self._check_engine(engine, where)
        if function.kind == "preprocessing":
            if pack in self._world.outputs:
                raise UserError(f"{where}: '{pack}' is the engine's own; give a new name.")
            self._derived[pack] = None
            return lambda value: self._derive(pack, value)
        if pack not in self._world.inputs:
            raise unknown("datapack to write", pack, self._world.inputs, where)
        spec = self._world.inputs[pack]
        _check_spec(pack, spec, to.unit, None, where)
        if pack not in self._slots:
            settings = self._to.get(pack) or to.connection or ConnectionSettings()
            self._slots[pack] = self._slot(pack, spec, settings)
        return self._slots[pack].fill

    def _slot(self, pack: str, spec: ArraySpec, settings: ConnectionSettings) -> Slot:
        write, _ = self._world.writer(pack)
        num_instances, line = self._world.num_instances, None
        if not settings.is_direct:
            # functions of a faster engine may fill it more often than it is sent
            interval_ns = self._timings[_engine(pack)].sync_ns
            line = Line(pack, settings, spec, num_instances, interval_ns)
        return Slot(pack, spec, num_instances, write, settings, line)

    def _derive(self, pack: str, value: Any) -> None:
        array = np.asarray(value)
        if array.shape[:1] != (self._world.num_instances,):
            raise UserError(
                f"'{pack}' must lead with {self._world.num_instances} instances, but has the shape "
                f"{array.shape}."
            )
        self._derived[pack] = array

    def _derived_value(self, pack: str, where: str) -> npt.NDArray[Any]:
        value = self._derived[pack]
        if value is None:
            raise UserError(f"{where}: there is no '{pack}' yet: its function returned nothing.")
        return value

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
                    raise unknown(
                        "datapack", pack, used, f"loop.connections: {kind}: of functions' packs"
                    )


def _engine(pack: str) -> str:
    return pack.split(".", 1)[0]


def _packs_read(function: LoopFunction) -> list[str]:
    return [a.pack for a in function.arguments.values() if isinstance(a, From)]


def _check_spec(
    pack: str, spec: ArraySpec, unit: str | None, shape: tuple[int, ...] | None, where: str
) -> None:
    if unit is not None and unit != spec.unit:
        raise UserError(f"{where}: '{pack}' has the unit '{spec.unit}', not '{unit}'.")
    if shape is not None and tuple(shape) != spec.shape:
        raise UserError(f"{where}: '{pack}' has the shape {spec.shape}, not {tuple(shape)}.")
