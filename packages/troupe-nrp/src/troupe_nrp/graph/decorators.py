"""Decorators of nodes, and what they say."""

from __future__ import annotations

import inspect
from collections.abc import Callable, Sequence
from dataclasses import dataclass, field
from enum import Enum
from typing import Any, Literal, NoReturn

from troupe.core.errors import UserError

from troupe_nrp.functions import collect


class ExecPolicy(Enum):
    """When a node runs."""

    always = "always"
    on_new_message = "on-new-message"


class MsgCache(Enum):
    """Whether an input's last message stays until a new one comes."""

    keep = "keep"
    clear = "clear"


class MsgPublish(Enum):
    """Whether an input is the last message, or a list of all new ones."""

    last = "last"
    all = "all"


class PublishFormat(Enum):
    """Whether an output's messages are sent one by one, or as one list."""

    series = "series"
    batch = "batch"


class node_policies:  # noqa: N801 - NRP-core's name
    """The policies, under the names that users write."""

    class functional_node:  # noqa: N801 - NRP-core's name
        """Of functional nodes."""

        exec_policy = ExecPolicy

    class input_node:  # noqa: N801 - NRP-core's name
        """Of inputs."""

        msg_cache = MsgCache
        msg_publish = MsgPublish

    class output_node:  # noqa: N801 - NRP-core's name
        """Of outputs."""

        publish_format = PublishFormat


@dataclass(frozen=True)
class GraphInput:
    """Where an argument comes from.

    Attributes:
        kind: an engine's datapack, another node, an MQTT topic, or the time.
        address: "engine/pack", "node/output" or the topic.
        type: of a topic's messages.
        cache: whether the last message stays.
        publish: the last message, or all.
    """

    kind: Literal["engine", "node", "mqtt", "clock", "iteration"]
    address: str = ""
    type: Any = None
    cache: MsgCache = MsgCache.keep
    publish: MsgPublish = MsgPublish.last


@dataclass(frozen=True)
class GraphOutput:
    """Where a result goes.

    Attributes:
        output: its name among the node's.
        kind: an engine, or an MQTT topic.
        address: "engine/pack", "engine" or the topic.
        type: of a topic's messages.
        period: it goes there at every so many steps.
        from_cache: whether the last one is sent again if there is none.
        format: messages one by one, or as one list.
    """

    output: str
    kind: Literal["engine", "mqtt"]
    address: str
    type: Any = None
    period: int = 1
    from_cache: bool = False
    format: PublishFormat = PublishFormat.series


@dataclass
class GraphNode:
    """A user's function as a node; it can be called as it is.

    Attributes:
        call: the function itself.
        name: unique in the graph.
        outputs: names of its results, in order.
        policy: when it runs.
        inputs: by argument.
        targets: of its results.
    """

    call: Callable[..., Any]
    name: str
    outputs: tuple[str, ...]
    policy: ExecPolicy
    inputs: dict[str, GraphInput] = field(default_factory=dict)
    targets: list[GraphOutput] = field(default_factory=list)

    def __call__(self, *arguments: Any, **keywords: Any) -> Any:
        """Call the function itself."""
        return self.call(*arguments, **keywords)


Decorator = Callable[[Any], GraphNode]


def FunctionalNode(  # noqa: N802 - NRP-core's name
    name: str,
    outputs: Sequence[str] = (),
    exec_policy: ExecPolicy = ExecPolicy.on_new_message,
) -> Decorator:
    """Make a function a node that returns a list, one value for each output."""

    def decorate(call: Any) -> GraphNode:
        node = GraphNode(call, name, tuple(outputs), exec_policy)
        collect(node)
        return node

    return decorate


def FromFunctionalNode(keyword: str, address: str) -> Decorator:  # noqa: N802 - NRP-core's name
    """Let an argument be an output of another node, ``/node/output``."""
    return _input(keyword, GraphInput("node", address.strip("/")))


def FromEngine(  # noqa: N802 - NRP-core's name
    keyword: str, address: str, cache_policy: MsgCache = MsgCache.keep
) -> Decorator:
    """Let an argument be a datapack of an engine, ``/engine/pack``."""
    return _input(keyword, GraphInput("engine", address.strip("/"), cache=cache_policy))


def ToEngine(  # noqa: N802 - NRP-core's name
    keyword: str, address: str, compute_period: int = 1, publish_from_cache: bool = False
) -> Decorator:
    """Send an output, a datapack, to an engine, ``/engine`` or ``/engine/pack``."""
    target = address.strip("/")
    return _output(GraphOutput(keyword, "engine", target, None, compute_period, publish_from_cache))


def MQTTSubscriber(  # noqa: N802 - NRP-core's name
    keyword: str,
    address: str,
    type: Any,
    cache_policy: MsgCache = MsgCache.keep,
    publish_policy: MsgPublish = MsgPublish.last,
) -> Decorator:
    """Let an argument be a message of an MQTT topic: ``str``, ``NlohmannJson`` or a message."""
    return _input(keyword, GraphInput("mqtt", address, type, cache_policy, publish_policy))


def MQTTPublisher(  # noqa: N802 - NRP-core's name
    keyword: str,
    address: str,
    type: Any,
    compute_period: int = 1,
    publish_from_cache: bool = False,
    publish_format: PublishFormat = PublishFormat.series,
) -> Decorator:
    """Publish an output to an MQTT topic."""
    return _output(
        GraphOutput(
            keyword, "mqtt", address, type, compute_period, publish_from_cache, publish_format
        )
    )


def Clock(keyword: str) -> Decorator:  # noqa: N802 - NRP-core's name
    """Let an argument be the simulated time in whole milliseconds."""
    return _input(keyword, GraphInput("clock"))


def Iteration(keyword: str) -> Decorator:  # noqa: N802 - NRP-core's name
    """Let an argument be the number of steps before this one."""
    return _input(keyword, GraphInput("iteration"))


def refused(name: str, instead: str) -> Callable[..., NoReturn]:
    """Return a decorator that does not exist here."""

    def refuse(*arguments: Any, **keywords: Any) -> NoReturn:
        raise UserError(f"{name} does not run on Troupe: {instead}.")

    refuse.__name__ = name
    return refuse


def _input(keyword: str, source: GraphInput) -> Decorator:
    def decorate(node: Any) -> GraphNode:
        found = _checked(node, keyword)
        if keyword not in inspect.signature(found.call).parameters:
            raise TypeError(f"node '{found.name}' has no argument '{keyword}'")
        found.inputs[keyword] = source
        return found

    return decorate


def _output(target: GraphOutput) -> Decorator:
    def decorate(node: Any) -> GraphNode:
        found = _checked(node, target.output)
        if target.output not in found.outputs:
            valid = ", ".join(found.outputs) or "none"
            raise TypeError(f"node '{found.name}' has no output '{target.output}', only: {valid}")
        found.targets.append(target)
        return found

    return decorate


def _checked(node: Any, keyword: str) -> GraphNode:
    if not isinstance(node, GraphNode):
        raise TypeError(f"'{keyword}': this decorator stands above @FunctionalNode")
    return node
