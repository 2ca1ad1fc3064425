"""Nodes of a graph: functions that run when messages arrive, not when engines meet.

A node says in its annotations what it reads and where its results go, as a transceiver does::

    @node
    def smooth(angle: From("arm.angle"), kept: Memory("kept")) -> Out("smooth"):
        kept += 0.1 * (angle - kept)
        return kept

    @node(runs="always")
    def steer(angle: Node("smooth"), goal: Message("mqtt:goal", 0.0)) -> To("arm.torque"):
        return goal - angle

A source gives its newest value, None before the first; `New` and `All` give what came since the
node last ran. A node stays callable, for tests.
"""

from __future__ import annotations

import inspect
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from functools import partial
from typing import Any, Literal, get_args, overload

import numpy as np

from troupe.core.errors import UserError
from troupe.loop.functions import (
    From,
    InstanceTime,
    IsUpdated,
    Iteration,
    LoopFunction,
    Memory,
    SimulationTime,
    To,
    annotated_arguments,
    annotated_results,
)

Runs = Literal["on-new-message", "always"]


@dataclass(frozen=True)
class Node:
    """Annotates an argument: what another node gives out, in the same step.

    Attributes:
        name: of its `Out`.
        initial: value before the first.
    """

    name: str
    initial: Any = None


@dataclass(frozen=True)
class Message:
    """Annotates an argument: what comes from outside, the same for all instances.

    Attributes:
        topic: as "port:topic".
        initial: value before the first.
    """

    topic: str
    initial: Any = None


Source = From | Node | Message


@dataclass(frozen=True)
class New:
    """Annotates an argument: the source's newest value if it came since the node last ran, or None.

    Attributes:
        source: where it comes from.
    """

    source: Source


@dataclass(frozen=True)
class All:
    """Annotates an argument: a list of all that came since the node last ran, oldest first.

    Attributes:
        source: where it comes from.
        keep: whether the list stays until something new comes; else it is empty then.
    """

    source: Source
    keep: bool = False


@dataclass(frozen=True)
class Previous:
    """Annotates an argument: what a node gave out before this step; so a cycle has a beginning.

    Attributes:
        name: of its `Out`, numbers that fit (num_instances, ...).
        initial: value after a reset.
        shape: of one instance.
        dtype: of the values.
    """

    name: str
    initial: float = 0.0
    shape: tuple[int, ...] = ()
    dtype: Any = np.float64


@dataclass(frozen=True)
class Out:
    """Annotates a result: other nodes read it by its name.

    Attributes:
        name: unique in the graph.
    """

    name: str


@dataclass(frozen=True)
class Publish:
    """Annotates a result: a message to the outside.

    Attributes:
        topic: as "port:topic".
        messages: of those since the last time: the ``last`` one, all in ``series``, or all in a
            ``batch``, one message that is a list.
        delivery: ``once`` sends what is new, ``latch`` the last one again if nothing is.
    """

    topic: str
    messages: Literal["last", "series", "batch"] = "last"
    delivery: Literal["once", "latch"] = "once"


@dataclass(frozen=True)
class Every:
    """Annotates a result that is sent at every so many steps only, the first one included.

    Attributes:
        steps: between two times, 1 or more.
        output: where it goes.
    """

    steps: int
    output: To | Publish

    def __post_init__(self) -> None:
        """Check the number."""
        if self.steps < 1:
            raise UserError(f"Every({self.steps}, ...): give a number of steps of 1 or more.")


Timeless = IsUpdated | Memory | type[SimulationTime] | type[Iteration] | type[InstanceTime]
Input = Source | New | All | Previous | Timeless
Output = Out | To | Publish | Every

_INPUT_TYPES = (From, Node, Message, New, All, Previous, IsUpdated, Memory)
_OUTPUT_TYPES = (Out, To, Publish, Every)


@dataclass(frozen=True)
class NodeFunction(LoopFunction):
    """A node, with what it reads and gives out.

    Attributes:
        runs: at steps that bring it anything new, or at each one.
        inputs: where each argument comes from, in order.
        outputs: where each result goes.
    """

    runs: Runs = "on-new-message"
    inputs: Mapping[str, Input] = field(default_factory=dict)
    outputs: tuple[Output, ...] = ()

    @property
    def sources(self) -> dict[str, Source]:
        """The sources of messages, by argument."""
        found = {name: source_of(given) for name, given in self.inputs.items()}
        return {name: source for name, source in found.items() if source is not None}


def source_of(given: Input) -> Source | None:
    """Return where an argument's messages come from; None if it is no message."""
    source = given.source if isinstance(given, New | All) else given
    return source if isinstance(source, From | Node | Message) else None


@overload
def node(call: Callable[..., Any], /) -> NodeFunction: ...
@overload
def node(*, runs: Runs = ...) -> Callable[[Callable[..., Any]], NodeFunction]: ...
def node(
    call: Callable[..., Any] | None = None, *, runs: Runs = "on-new-message"
) -> NodeFunction | Callable[[Callable[..., Any]], NodeFunction]:
    """Make a function a node of the loop's graph.

    Args:
        call: the function, if the decorator stands without arguments.
        runs: ``on-new-message``, at steps that bring anything new to what it reads, or ``always``.

    Raises:
        UserError: if an annotation is missing or unknown, or the node would never run.
    """
    return _parse(call, runs) if call is not None else partial(_parse, runs=runs)


def _parse(call: Callable[..., Any], runs: Runs) -> NodeFunction:
    where = f"node '{call.__name__}'"
    if runs not in get_args(Runs):
        raise UserError(f"{where}: runs: 'on-new-message' or 'always', not {runs!r}.")
    signature = inspect.signature(call, eval_str=True)
    inputs: dict[str, Input] = annotated_arguments(
        signature,
        _INPUT_TYPES,
        where,
        "From('engine.pack'), Node('name'), Message('port:topic'), New or All of these, "
        "Previous('name'), Memory('name'), IsUpdated('engine.pack'), SimulationTime, "
        "Iteration or InstanceTime",
    )
    outputs = _outputs(signature.return_annotation, where)
    made = NodeFunction(call, "transceiver", inputs=inputs, outputs=outputs, runs=runs)
    if runs == "on-new-message" and not made.sources:
        raise UserError(f"{where}: it reads no messages to run for; write @node(runs='always').")
    return made


def _outputs(annotation: Any, where: str) -> tuple[Output, ...]:
    if annotation is None:
        return ()
    targets = (
        "-> Out('name'), To('engine.pack'), Publish('port:topic'), Every(5, To(...)), a "
        "tuple[...] of these, or None"
    )
    return annotated_results(annotation, _OUTPUT_TYPES, where, targets)
