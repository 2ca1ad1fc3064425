"""The user's functions as functions of Troupe's loop, and the datapacks between them.

Packs of an engine are gathered when it synchronises, before its functions run; an empty one
leaves the last value standing. What functions return goes to the engines' inputs; what
preprocessing functions return stays here, for the others.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Mapping, Sequence
from typing import Any

import numpy as np
import numpy.typing as npt
from troupe.core.errors import FunctionError, UserError, unknown
from troupe.loop.connections import ConnectionSettings
from troupe.loop.functions import Argument, From, Iteration, LoopFunction, SimulationTime, To

from troupe_nrp.functions import NrpFunction, PackInput
from troupe_nrp.packs import DataPack, RawData, received
from troupe_nrp.travel import from_travel

Key = tuple[str, str]


class Exchange:
    """Everything that is between the engines of one simulation.

    Attributes:
        is_done: whether the status function said so at the last synchronisation.
        trajectory: what it returned since the start, in order.
    """

    def __init__(self, functions: Sequence[NrpFunction], delivery: str = "latch") -> None:
        """Take the functions in their order.

        Args:
            functions: of the configuration.
            delivery: "latch" to send results again at each synchronisation, "once" to send new
                ones only.
        """
        self.is_done = False
        self.trajectory: list[Any] = []
        self._functions = functions
        self._connection = ConnectionSettings.model_validate({"delivery": delivery})
        self._values: dict[Key, Any] = {}
        self._updated_at: dict[Key, int] = {}
        self._targets: dict[Key, int] = {}

    def close(self) -> None:
        """Do nothing: there is nothing outside."""

    def reset(self) -> None:
        """Forget all values."""
        self._values.clear()
        self._updated_at.clear()
        self.trajectory.clear()
        self.is_done = False

    def requested(self) -> dict[str, tuple[str, ...]]:
        """Return the packs that functions read of each engine, in order."""
        found: dict[str, dict[str, None]] = {}
        for function in self._functions:
            for source in _pack_inputs(function):
                if not source.is_preprocessed:
                    found.setdefault(source.engine_name, {}).update(dict.fromkeys(source.names))
        return {engine: tuple(names) for engine, names in found.items()}

    def check(self, engines: Iterable[str]) -> None:
        """Check the names of engines that functions say.

        Raises:
            UserError: if there is no such engine, or a preprocessing function reads of another.
        """
        names = list(engines)
        for function in self._functions:
            where = f"function '{function.name}'"
            sources = _pack_inputs(function)
            for name in [function.engine_name, *(source.engine_name for source in sources)]:
                if name is not None and name not in names:
                    raise unknown("engine", name, names, where)
            if function.kind == "preprocessing":
                for source in sources:
                    if source.engine_name != function.engine_name:
                        raise UserError(
                            f"{where}: a preprocessing function takes datapacks of its own engine "
                            f"'{function.engine_name}' only, not of '{source.engine_name}'."
                        )

    def loop_functions(
        self, engines: Mapping[str, str], inputs: Mapping[str, Sequence[str]]
    ) -> list[LoopFunction]:
        """Return what Troupe's loop is to call.

        Args:
            engines: the name in the loop of each engine.
            inputs: the packs that each engine takes.
        """
        targets = [(engine, pack) for engine, packs in inputs.items() for pack in packs]
        self._targets = {key: position for position, key in enumerate(targets)}
        results = tuple(
            To(f"{engines[engine]}.{pack}", connection=self._connection) for engine, pack in targets
        )
        found = [
            self._gathering(engine, engines[engine], packs)
            for engine, packs in self.requested().items()
        ]
        for function in self._functions:
            triggers = [function.engine_name] if function.engine_name else list(engines)
            found.append(
                LoopFunction(
                    self._wrapped(function),
                    # a status function that ends the run would also keep its engines from going on
                    "transceiver" if function.kind == "status" else function.kind,
                    tuple(engines[engine] for engine in triggers),
                    {"time_ns": SimulationTime, "iteration": Iteration},
                    results if function.kind == "transceiver" else (),
                )
            )
        return found

    def _gathering(self, engine: str, loop_name: str, packs: Sequence[str]) -> LoopFunction:
        def gather(iteration: int, *values: npt.NDArray[Any]) -> None:
            for pack, value in zip(packs, values, strict=True):
                self.keep((engine, pack), value[0], iteration)

        sources = {f"pack {pack}": From(f"{loop_name}.{pack}") for pack in packs}
        gather.__name__ = f"packs of {engine}"
        arguments: dict[str, Argument] = {"iteration": Iteration, **sources}
        return LoopFunction(gather, "preprocessing", (loop_name,), arguments)

    def keep(self, key: Key, value: Any, iteration: int) -> None:
        """Keep a value that travelled; one that is None leaves the last one standing."""
        if value is not None:
            self._values[key] = value
            self._updated_at[key] = iteration
        else:
            self._values.setdefault(key, None)

    def _wrapped(self, function: NrpFunction) -> Callable[[int, int], Any]:
        finish = {
            "preprocessing": self._keep_packs,
            "transceiver": self._sorted_by_target,
            "status": self._note_status,
        }[function.kind]

        def call(time_ns: int, iteration: int) -> Any:
            arguments = {
                keyword: self._argument(function, source, time_ns, iteration)
                for keyword, source in function.inputs.items()
            }
            return finish(function, function.call(**arguments), iteration)

        call.__name__ = function.name
        return call

    def _argument(self, function: NrpFunction, source: Any, time_ns: int, iteration: int) -> Any:
        if source == "time":
            return time_ns
        if source == "iteration":
            return iteration
        packs = [self._pack(source, name, iteration) for name in source.names]
        return dict(zip(source.names, packs, strict=True)) if source.is_dict else packs[0]

    def _pack(self, source: PackInput, name: str, iteration: int) -> DataPack:
        key = (source.engine_name, name)
        if key not in self._values:
            made = "no preprocessing function returned it" if source.is_preprocessed else "missing"
            raise LookupError(f"there is no datapack '{name}' of engine '{key[0]}' yet: {made}")
        is_updated = self._updated_at.get(key) == iteration
        return received(name, source.engine_name, self._values[key], is_updated=is_updated)

    def _keep_packs(self, function: NrpFunction, result: Any, iteration: int) -> None:
        for pack in _checked_packs(function, result):
            if pack.engine_name != function.engine_name:
                raise ValueError(
                    f"{pack!r} is of another engine than its function's, '{function.engine_name}'"
                )
            self.keep((pack.engine_name, pack.name), pack.travelling(), iteration)

    def _sorted_by_target(self, function: NrpFunction, result: Any, iteration: int) -> Any:
        values: list[Any] = [None] * len(self._targets)
        for pack in _checked_packs(function, result):
            key = (pack.engine_name, pack.name)
            if key not in self._targets:
                raise _no_target(pack, self._targets)
            if not pack.isEmpty():
                values[self._targets[key]] = _one(pack.travelling())
        return values[0] if len(values) == 1 else tuple(values)

    def _note_status(self, function: NrpFunction, result: Any, iteration: int) -> None:
        if not isinstance(result, tuple) or len(result) != 2:
            raise TypeError(
                f"a status function returns a tuple (done, [data, ...]), not {result!r}"
            )
        done, returned = result
        for item in returned:
            if not isinstance(item, RawData):
                raise TypeError(f"a status function returns datapacks and raw data, not {item!r}")
            value = item.travelling()
            if value is not None:
                self.trajectory.append(from_travel(value))
        self.is_done = self.is_done or bool(done)


def _pack_inputs(function: NrpFunction) -> list[PackInput]:
    return [source for source in function.inputs.values() if isinstance(source, PackInput)]


def _checked_packs(function: NrpFunction, result: Any) -> list[DataPack]:
    if result is None:
        return []
    packs = list(result) if isinstance(result, list | tuple) else [result]
    for pack in packs:
        if not isinstance(pack, DataPack):
            raise TypeError(f"a {function.kind} function returns a list of datapacks, not {pack!r}")
    return packs


def _no_target(pack: DataPack, targets: Iterable[Key]) -> Exception:
    engines = sorted({engine for engine, _ in targets})
    if pack.engine_name not in engines:
        return FunctionError(str(unknown("engine", pack.engine_name, engines, repr(pack))))
    packs = [name for engine, name in targets if engine == pack.engine_name]
    return FunctionError(str(unknown("datapack", pack.name, packs, repr(pack))))


def _one(value: Any) -> npt.NDArray[Any]:
    values = np.empty(1, object)
    values[0] = value
    return values
