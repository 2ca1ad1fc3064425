"""Decorators of the user's functions, and what they say.

Outside a simulation a decorated function is an ordinary one, for tests. While a simulation loads
its files, `collecting` gathers them.
"""

from __future__ import annotations

import inspect
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from contextvars import ContextVar
from dataclasses import dataclass, field
from typing import Any, Literal

from troupe_nrp.packs import DataPackIdentifier

Kind = Literal["preprocessing", "transceiver", "status"]


@dataclass(frozen=True)
class PackInput:
    """An argument: a datapack, or several of one engine in a dict.

    Attributes:
        names: of the packs.
        engine_name: their engine.
        is_dict: whether the argument is a dict of them by name.
        is_preprocessed: whether a preprocessing function makes it, not the engine.
    """

    names: tuple[str, ...]
    engine_name: str
    is_dict: bool = False
    is_preprocessed: bool = False


Input = PackInput | Literal["time", "iteration"]


@dataclass
class NrpFunction:
    """A user's function with what its decorators say; it can be called as it is.

    Attributes:
        call: the function itself.
        kind: when it runs in a synchronisation.
        engine_name: at whose synchronisation; of a status function none, it runs at each.
        inputs: by the argument's name.
        label: the name that the configuration gives it.
    """

    call: Callable[..., Any]
    kind: Kind
    engine_name: str | None
    inputs: dict[str, Input] = field(default_factory=dict)
    label: str = ""

    @property
    def name(self) -> str:
        """The function's name, for messages."""
        return self.label or str(self.call.__name__)

    def __call__(self, *arguments: Any, **keywords: Any) -> Any:
        """Call the function itself."""
        return self.call(*arguments, **keywords)


Decorator = Callable[[Any], NrpFunction]

_collected: ContextVar[list[Any] | None] = ContextVar("collected", default=None)


@contextmanager
def collecting() -> Iterator[list[Any]]:
    """Gather what decorators make of users' functions within the block, in order."""
    found: list[Any] = []
    token = _collected.set(found)
    try:
        yield found
    finally:
        _collected.reset(token)


def collect(function: Any) -> None:
    """Add to what is gathered, if anything is."""
    found = _collected.get()
    if found is not None:
        found.append(function)


def TransceiverFunction(engine_name: str) -> Decorator:  # noqa: N802 - NRP-core's name
    """Make a function run when an engine synchronises; it returns a list of datapacks."""
    return lambda call: _function(call, "transceiver", engine_name)


def PreprocessingFunction(engine_name: str) -> Decorator:  # noqa: N802 - NRP-core's name
    """Make a function run before transceiver functions, on datapacks of its own engine."""
    return lambda call: _function(call, "preprocessing", engine_name)


def StatusFunction() -> Decorator:  # noqa: N802 - NRP-core's name
    """Make a function run at every synchronisation; it returns whether to end, and data."""
    return lambda call: _function(call, "status", None)


def EngineDataPack(keyword: str, id: DataPackIdentifier) -> Decorator:  # noqa: N802 - NRP-core's
    """Let an argument be a datapack of an engine."""
    return _argument(keyword, PackInput((id.name,), id.engine_name))


def EngineDataPacks(  # noqa: N802 - NRP-core's name
    keyword: str,
    datapack_names: Sequence[str] = (),
    engine_name: str = "",
    *,
    datapackNames: Sequence[str] = (),
    engineName: str = "",
) -> Decorator:
    """Let an argument be a dict of datapacks of one engine, by name."""
    names = tuple(datapack_names or datapackNames)
    return _argument(keyword, PackInput(names, engine_name or engineName, is_dict=True))


def PreprocessedDataPack(  # noqa: N802 - NRP-core's name
    keyword: str,
    id: DataPackIdentifier,
) -> Decorator:
    """Let an argument be a datapack that a preprocessing function made."""
    return _argument(keyword, PackInput((id.name,), id.engine_name, is_preprocessed=True))


def SimulationTime(keyword: str) -> Decorator:  # noqa: N802 - NRP-core's name
    """Let an argument be the simulated time in nanoseconds."""
    return _argument(keyword, "time")


def SimulationIteration(keyword: str) -> Decorator:  # noqa: N802 - NRP-core's name
    """Let an argument be the number of synchronisations before this one."""
    return _argument(keyword, "iteration")


def _function(call: Any, kind: Kind, engine_name: str | None) -> NrpFunction:
    if isinstance(call, NrpFunction):
        raise TypeError(f"'{call.call.__name__}' is decorated as two kinds of function")
    function = NrpFunction(call, kind, engine_name)
    collect(function)
    return function


def _argument(keyword: str, source: Input) -> Decorator:
    def decorate(function: Any) -> NrpFunction:
        if not isinstance(function, NrpFunction):
            raise TypeError(
                f"'{keyword}': this decorator stands above @TransceiverFunction, "
                "@PreprocessingFunction or @StatusFunction"
            )
        parameters = inspect.signature(function.call).parameters
        takes_any = any(p.kind is p.VAR_KEYWORD for p in parameters.values())
        if keyword not in parameters and not takes_any:
            raise TypeError(f"'{function.call.__name__}' has no argument '{keyword}'")
        function.inputs[keyword] = source
        return function

    return decorate
