"""Engines that users write in Python: a class `Script` with three methods."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Mapping
from pathlib import Path
from typing import Any

from troupe.core.errors import UserError
from troupe.core.user_code import load_file

from troupe_nrp.json_data import plain
from troupe_nrp.travel import from_travel, to_travel

_REGISTERED = "_is_registered_engine"


def RegisterEngine() -> Callable[[type], type]:  # noqa: N802 - NRP-core's name
    """Mark the class that a file's engine is made of; one called ``Script`` needs no mark."""

    def decorate(cls: type) -> type:
        setattr(cls, _REGISTERED, True)
        return cls

    return decorate


class EngineScript:
    """An engine that exchanges JSON."""

    # class attributes, since users' __init__ may call none of ours
    _config: Mapping[str, Any] = {}
    _name = ""
    _time_ns = 0
    _packs: dict[str, Any]
    _are_set: set[str]

    def initialize(self) -> None:
        """Register packs and prepare."""

    def runLoop(self, timestep_ns: int) -> None:  # noqa: N802 - NRP-core's name
        """Advance by a time step; ``_time_ns`` is the time at its end."""
        raise NotImplementedError

    def shutdown(self) -> None:
        """Release what `initialize` opened."""

    def _registerDataPack(self, datapack_name: str) -> None:  # noqa: N802 - NRP-core's name
        """Offer a datapack."""
        self._store().setdefault(datapack_name, {})

    def _getDataPack(self, datapack_name: str) -> Any:  # noqa: N802 - NRP-core's name
        """Return the last value of a datapack, {} before the first."""
        return self._store()[self._known(datapack_name)]

    def _setDataPack(self, datapack_name: str, data: Any) -> None:  # noqa: N802 - NRP-core's name
        """Set the value of a datapack; None leaves it empty."""
        self._store()[self._known(datapack_name)] = {} if data is None else plain(data)
        (self._are_set.discard if data is None else self._are_set.add)(datapack_name)

    def _take(self, datapack_name: str, travelled: Any) -> None:
        self._store()[datapack_name] = {} if travelled is None else from_travel(travelled)
        self._are_set.add(datapack_name)

    def _give(self, datapack_name: str) -> Any:
        return to_travel(self._store()[datapack_name])

    def _store(self) -> dict[str, Any]:
        if "_packs" not in self.__dict__:
            self._packs, self._are_set = {}, set()
        return self._packs

    def _known(self, datapack_name: str) -> str:
        if datapack_name not in self._store():
            registered = ", ".join(sorted(self._store())) or "none"
            raise KeyError(f"no datapack '{datapack_name}' is registered, only: {registered}")
        return datapack_name


class GrpcEngineScript(EngineScript):
    """An engine that exchanges protobuf messages."""

    _types: dict[str, Any]

    def _registerDataPack(  # type: ignore[override] # noqa: N802 - NRP-core's
        self, datapack_name: str, protobuf_type: Any
    ) -> None:
        """Offer a datapack of a message class."""
        self._store().setdefault(datapack_name, None)
        if "_types" not in self.__dict__:
            self._types = {}
        self._types[datapack_name] = protobuf_type

    def _setDataPack(self, datapack_name: str, data: Any) -> None:  # noqa: N802 - NRP-core's name
        """Set the message of a datapack."""
        self._check_type(self._known(datapack_name), data)
        copy = type(data)()
        copy.CopyFrom(data)
        self._store()[datapack_name] = copy
        self._are_set.add(datapack_name)

    def _take(self, datapack_name: str, travelled: Any) -> None:
        data = from_travel(travelled)
        self._check_type(datapack_name, data)
        self._store()[datapack_name] = data
        self._are_set.add(datapack_name)

    def _check_type(self, datapack_name: str, data: Any) -> None:
        expected = self._types[datapack_name]
        # the same message may be of two classes, of the module's and of the pool's
        given = getattr(type(data), "DESCRIPTOR", None)
        if getattr(given, "full_name", None) != expected.DESCRIPTOR.full_name:
            shown = given.full_name if given is not None else type(data).__name__
            raise TypeError(
                f"datapack '{datapack_name}' is of {expected.DESCRIPTOR.full_name}, not {shown}"
            )


class ScriptPart:
    """Runs a user's script."""

    def __init__(self, path: Path, config: Mapping[str, Any], name: str, base: type) -> None:
        """Load the script's class.

        Raises:
            UserError: if the file has none that derives from the base.
        """
        self._cls = _script_class(path, name, base)
        self._config, self._name = config, name
        self._script: Any = None

    def initialize(self) -> Iterable[str]:
        self._script = self._cls()
        self._script._config = self._config
        self._script._name = self._name
        self._script._time_ns = 0
        self._prepare(self._script)
        self._script.initialize()
        return list(self._script._store())

    def run(self, duration_ns: int) -> None:
        self._script._time_ns += duration_ns
        self._script.runLoop(duration_ns)

    def reset(self) -> None:
        if hasattr(self._script, "reset"):
            self._script._time_ns = 0
            self._script.reset()
            return
        self._script.shutdown()
        self._script._time_ns = 0
        self._script._packs, self._script._are_set = {}, set()
        self._script.initialize()

    def shutdown(self) -> None:
        if self._script is not None:
            self._script.shutdown()

    def get(self, name: str) -> Any:
        return self._script._give(name) if name in self._script._are_set else None

    def set(self, name: str, value: Any) -> None:
        self._script._take(name, value)

    def _prepare(self, script: Any) -> None:
        """Give the script what it has besides its packs, before it is initialised."""


def _script_class(path: Path, name: str, base: type) -> type:
    module = load_file(path, f"engines.{name}.PythonFileName")
    own = [v for v in vars(module).values() if isinstance(v, type) and issubclass(v, base)]
    own = [cls for cls in own if cls.__module__ == module.__name__]
    marked = [cls for cls in own if _REGISTERED in vars(cls)]
    chosen = marked or [cls for cls in own if cls.__name__ == "Script"] or own
    if len(chosen) == 1:
        return chosen[0]
    where = f"engines.{name}.PythonFileName: '{path}'"
    if not chosen:
        raise UserError(f"{where} has no class that derives from {base.__name__}.")
    names = ", ".join(cls.__name__ for cls in chosen)
    raise UserError(f"{where}: which class is the engine ({names})? Call one of them Script.")
