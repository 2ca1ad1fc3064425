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
from troupe.loop.derived import Derived
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
from troupe.loop.schedule import Timing
from troupe.loop.settings import ConnectionEntry
from troupe.loop.slots import Slot, own_keys, under
from troupe.loop.stored import restore_stored, stored

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
        except (Exception, SystemExit) as error:
            raise FunctionError(
                f"function '{self.function.name}' raised at {now_ns / NANOSECONDS['s']:g} s:\n"
                f"{user_traceback(error)}"
            ) from error
        if result is None or not self.puts:
            return result
        try:
            for put, value in zip(self.puts, self._values(result), strict=True):
                if value is not None:
                    put(value)
        except (UserError, ValueError) as error:
            message = f"function '{self.function.name}': its result: {error}"
            if now_ns:
                raise FunctionError(f"{message} (at {now_ns / NANOSECONDS['s']:g} s)") from error
            raise UserError(message) from error
        return result

    def _values(self, result: Any) -> Sequence[Any]:
        if len(self.puts) == 1:
            return (result,)
        if not isinstance(result, Sequence | np.ndarray) or len(result) != len(self.puts):
            raise ValueError(f"it must be a tuple of {len(self.puts)} results, not {result!r}")
        return list(result)


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
        self._from = _by_pack([(entry.source, entry) for entry in connections])
        self._to = _by_pack([(entry.target, entry) for entry in connections])
        self._now_ns = 0
        self._iteration = 0
        self._due: frozenset[str] = frozenset()
        self._start_ns = np.zeros(world.num_instances, np.int64)
        self._derived: dict[str, Derived] = {}
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
                self.is_done = _is_true(result, bound.function.name)

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
        for _, line in self._lines.values():
            line.reset(seeds, instances)
        for slot in self._slots.values():
            slot.reset(seeds, instances)

    def snapshot(self) -> dict[str, npt.NDArray[Any]]:
        """Return the state of memories and connections, arrays that lead with the instances."""
        arrays = {"start_ns": self._start_ns.copy()}
        arrays |= under("memory", {k: stored(values) for k, (_, values) in self._memories.items()})
        for name, (_, line) in self._lines.items():
            arrays |= under(f"line/{name}", line.snapshot())
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
            if argument.pack not in self._derived:
                self._readable(argument.pack, where)
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
            return lambda: _unchangeable(read(name))
        interval_ns = self._timings[engine].sync_ns
        key = f"{function.name}.{pack}"
        while key in self._lines:  # it reads the pack twice
            key += "'"
        line = Line(key, settings, spec, self._world.num_instances, interval_ns)
        self._lines[key] = pack, line

        def receive() -> npt.NDArray[Any]:
            line.deliver(self._now_ns)
            return _unchangeable(line.value)

        return receive

    def _get_derived(self, derived: Derived, source: From, where: str) -> Get:
        if source.pack in self._from or source.connection is not None:
            raise UserError(
                f"{where}: a function makes '{source.pack}' here; there is no connection to delay."
            )
        if derived.unit is not None:
            spec = ArraySpec((), derived.unit)
            _check_spec(source.pack, spec, source.unit, None, where)
        return lambda: _unchangeable(derived.read(where))

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


def _is_true(result: Any, name: str) -> bool:
    """Return whether a status function's result ends the run.

    Raises:
        FunctionError: if it is no bool.
    """
    if result is None:
        return False
    if np.asarray(result).dtype != np.bool_:
        raise FunctionError(f"function '{name}' must return a bool, not {result!r}.")
    return bool(np.all(result))


def _unchangeable(values: npt.NDArray[Any]) -> npt.NDArray[Any]:
    """Return a view that a function cannot change: the values are the engine's own."""
    view = values.view()
    view.setflags(write=False)
    return view


def _packs_read(function: LoopFunction) -> list[str]:
    return [a.pack for a in function.arguments.values() if isinstance(a, From)]


def _check_spec(
    pack: str, spec: ArraySpec, unit: str | None, shape: int | tuple[int, ...] | None, where: str
) -> None:
    if unit is not None and unit != spec.unit:
        raise UserError(f"{where}: '{pack}' has the unit '{spec.unit}', not '{unit}'.")
    if shape is not None and as_shape(shape) != spec.shape:
        raise UserError(f"{where}: '{pack}' has the shape {spec.shape}, not {as_shape(shape)}.")
