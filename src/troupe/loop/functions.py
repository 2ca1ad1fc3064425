"""Functions between engines: what the user writes, and what it reads and writes.

A function says in its annotations where its arguments come from and where its result goes::

    @transceiver
    def steer(spikes: From("brain.motor"), t: SimulationTime) -> To("vehicle.wheels"):
        return 0.1 * spikes

All arrays lead with the instances. One with several results says ``-> tuple[To(...), To(...)]``; a
result that is None sends nothing that time. A function stays callable, for tests.
"""

from __future__ import annotations

import inspect
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field, replace
from pathlib import Path
from types import GenericAlias
from typing import Any, Literal, overload

import numpy as np
import numpy.typing as npt

from troupe.core.errors import UserError
from troupe.core.user_code import load_file
from troupe.loop.connections import ConnectionSettings

Kind = Literal["preprocessing", "transceiver", "status"]


class SimulationTime(int):
    """Annotates an argument: the loop's time, whole nanoseconds since the start."""


class Iteration(int):
    """Annotates an argument: the number of synchronisations before this one."""


class InstanceTime:
    """Annotates an argument: nanoseconds since each instance's reset, (num_instances,)."""


@dataclass(frozen=True)
class From:
    """Annotates an argument: a datapack, (num_instances, ...), a view that must not be changed.

    Attributes:
        pack: as "engine.pack".
        unit: that it must have; None for any.
        shape: of one instance, or its number of components, that it must have; None for any.
        connection: sampling, delay, jitter and dropout on the way; the experiment's settings go
            over it.
    """

    pack: str
    unit: str | None = None
    shape: int | tuple[int, ...] | None = None
    connection: ConnectionSettings | None = None

    def __post_init__(self) -> None:
        """Check the name."""
        _check_name(self.pack)


@dataclass(frozen=True)
class IsUpdated:
    """Annotates an argument: whether the pack's engine has synchronised just now, a bool.

    If the function reads the pack over a connection with ``every`` or ``phase``: whether a sample
    has come, for any instance, since it last looked.

    Attributes:
        pack: as "engine.pack".
    """

    pack: str

    def __post_init__(self) -> None:
        """Check the name."""
        _check_name(self.pack)


@dataclass(frozen=True)
class Memory:
    """Annotates an argument: an array (num_instances, ...) that the function changes and keeps.

    Resets return it to its initial value; snapshots hold it.

    Attributes:
        name: of the array, unique among the function's.
        shape: of one instance, or a number of components.
        initial: value after a reset, broadcast to the shape.
        dtype: of the values.
    """

    name: str
    shape: int | tuple[int, ...] = ()
    initial: npt.ArrayLike = 0.0
    dtype: npt.DTypeLike = np.float64

    def new(self, num_instances: int) -> npt.NDArray[Any]:
        """Return a new array, (num_instances, ...), of the initial value.

        Raises:
            ValueError: if that does not fit the shape.
            TypeError: if it does not fit the dtype, or there is no such dtype.
        """
        return np.full((num_instances, *as_shape(self.shape)), self.initial, self.dtype)


@dataclass(frozen=True)
class To:
    """Annotates a result: the datapack that it is written to, (num_instances, ...) or broadcast.

    Attributes:
        pack: as "engine.pack"; of a preprocessing function a new name, which others can read.
        unit: that it must have; None for any.
        connection: delivery, sampling, delay, jitter and dropout; the experiment's settings go
            over it.
    """

    pack: str
    unit: str | None = None
    connection: ConnectionSettings | None = None

    def __post_init__(self) -> None:
        """Check the name."""
        _check_name(self.pack)


Argument = From | IsUpdated | Memory | type[SimulationTime] | type[Iteration] | type[InstanceTime]
_ARGUMENT_TYPES = (From, IsUpdated, Memory)
_ARGUMENT_CLASSES = (SimulationTime, Iteration, InstanceTime)


@dataclass(frozen=True)
class LoopFunction:
    """A function of the user's, with what it reads and writes.

    Attributes:
        call: the function itself.
        kind: when it runs in a synchronisation: preprocessing, then transceivers, status last.
        engines: at whose synchronisation it runs; None for those that it reads from, or if there
            are none, writes to.
        arguments: where each comes from, in order.
        results: where each goes.
    """

    call: Callable[..., Any]
    kind: Kind
    engines: tuple[str, ...] | None = None
    arguments: Mapping[str, Argument] = field(default_factory=dict)
    results: tuple[To, ...] = ()

    @property
    def name(self) -> str:
        """The function's name."""
        return self.call.__name__

    def __call__(self, *arguments: Any, **keywords: Any) -> Any:
        """Call the function itself."""
        return self.call(*arguments, **keywords)

    def triggers(self) -> frozenset[str]:
        """Return the engines at whose synchronisation it runs; none for each of them."""
        if self.engines is not None:
            return frozenset(self.engines)
        read = [a.pack for a in self.arguments.values() if isinstance(a, From)]
        packs = read or [to.pack for to in self.results]
        return frozenset(pack.split(".", 1)[0] for pack in packs)


Decorator = Callable[[Callable[..., Any]], LoopFunction]


@overload
def transceiver(call: Callable[..., Any], /) -> LoopFunction: ...
@overload
def transceiver(*, engine: str | Sequence[str]) -> Decorator: ...
def transceiver(
    call: Callable[..., Any] | None = None, *, engine: str | Sequence[str] | None = None
) -> LoopFunction | Decorator:
    """Make a function that turns datapacks of some engines into datapacks of others.

    Args:
        call: the function, if the decorator stands without arguments.
        engine: name or names of engines at whose synchronisation it runs; default: those it reads.

    Raises:
        UserError: if an argument or result has no annotation of the kind above.
    """
    return _decorate("transceiver", call, engine)


def preprocessing(*, engine: str) -> Decorator:
    """Make a function that turns datapacks of one engine into new ones, before the transceivers.

    Raises:
        UserError: if it reads from another engine, or an annotation is missing.
    """
    return _decorate("preprocessing", None, engine)


def status(call: Callable[..., Any], /) -> LoopFunction:
    """Make the function that ends the run: called at every synchronisation, it returns a bool.

    With several instances it may return one for each; the run ends when all are true.

    Raises:
        UserError: if an argument has no annotation of the kind above.
    """
    return replace(_parse("status", call), engines=(), results=())


def load_functions(paths: Sequence[Path], where: str) -> list[LoopFunction]:
    """Return the functions that files define, in their order.

    Args:
        paths: of Python files.
        where: the place in the user's input, for the message.

    Raises:
        UserError: if a file raises, defines no function, two functions have one name, or there are
            two status functions.
    """
    functions: list[LoopFunction] = []
    files: dict[str, Path] = {}
    for path in paths:
        values = vars(load_file(path, where)).values()
        found = list({id(v): v for v in values if isinstance(v, LoopFunction)}.values())
        if not found:
            raise UserError(
                f"{where}: '{path}' defines no function with @transceiver, @preprocessing, "
                "@status or @node."
            )
        for function in found:
            if function.name in files:
                places = f"'{files[function.name]}' and '{path}'"
                raise UserError(
                    f"{where}: two functions are called '{function.name}', in {places}."
                )
            files[function.name] = path
        functions += found
    status_names = [f.name for f in functions if f.kind == "status"]
    if len(status_names) > 1:
        raise UserError(f"{where}: one status function at most, not {', '.join(status_names)}.")
    return functions


def _decorate(
    kind: Kind, call: Callable[..., Any] | None, engine: str | Sequence[str] | None
) -> LoopFunction | Decorator:
    engines: tuple[str, ...] | None = None
    if engine is not None:
        engines = (engine,) if isinstance(engine, str) else tuple(engine)

    def decorate(call: Callable[..., Any]) -> LoopFunction:
        return replace(_parse(kind, call), engines=engines)

    return decorate if call is None else decorate(call)


def _parse(kind: Kind, call: Callable[..., Any]) -> LoopFunction:
    where = f"function '{call.__name__}'"
    signature = inspect.signature(call, eval_str=True)
    arguments: dict[str, Argument] = annotated_arguments(
        signature,
        _ARGUMENT_TYPES,
        where,
        "From('engine.pack'), IsUpdated('engine.pack'), Memory('name'), SimulationTime, "
        "Iteration or InstanceTime",
    )
    results: tuple[To, ...] = ()
    if kind != "status":
        targets = "-> To('engine.pack'), or -> tuple[To(...), To(...)]"
        results = annotated_results(signature.return_annotation, (To,), where, targets)
    return LoopFunction(call, kind, None, arguments, results)


def annotated_arguments(
    signature: inspect.Signature, types: tuple[type, ...], where: str, words: str
) -> dict[str, Any]:
    """Return a function's annotations by argument.

    Args:
        signature: of the function.
        types: whose objects are annotations, besides the classes of time and iteration.
        where: the function, for the message.
        words: the annotations there are, for the message.

    Raises:
        UserError: if an argument has none of them, or cannot be given by position.
    """
    found = {}
    for name, parameter in signature.parameters.items():
        if parameter.kind not in (parameter.POSITIONAL_ONLY, parameter.POSITIONAL_OR_KEYWORD):
            raise UserError(f"{where}: argument '{name}': write it without *.")
        annotation = parameter.annotation
        if not isinstance(annotation, types) and annotation not in _ARGUMENT_CLASSES:
            raise UserError(
                f"{where}: argument '{name}' says not where it comes from: annotate it with "
                f"{words}."
            )
        found[name] = annotation
    return found


def annotated_results(
    annotation: Any, types: tuple[type, ...], where: str, words: str
) -> tuple[Any, ...]:
    """Return the annotations of a function's results, one or a tuple's.

    Raises:
        UserError: if one is of none of the types.
    """
    several = isinstance(annotation, GenericAlias) and annotation.__origin__ is tuple
    results = annotation.__args__ if several else (annotation,)
    if not all(isinstance(result, types) for result in results):
        raise UserError(f"{where}: its result says not where it goes: annotate it with {words}.")
    return tuple(results)


def as_shape(shape: int | tuple[int, ...]) -> tuple[int, ...]:
    """Return the shape of one instance; a number of components is one too."""
    return (shape,) if isinstance(shape, int) else tuple(shape)


def _check_name(pack: object) -> None:
    if not isinstance(pack, str) or "." not in pack:
        raise UserError(f"{pack!r} is no datapack: write 'engine.pack'.")
