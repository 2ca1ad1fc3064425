"""From a user's node to a node of Troupe's graph."""

from __future__ import annotations

import inspect
from collections.abc import Mapping, Sequence
from typing import Any

import numpy as np
import numpy.typing as npt
from troupe.core.errors import UserError, unknown
from troupe.loop.connections import ConnectionSettings
from troupe.loop.functions import From, SimulationTime, To
from troupe.loop.functions import Iteration as LoopIteration
from troupe.loop.nodes import (
    All,
    Every,
    Input,
    Message,
    New,
    Node,
    NodeFunction,
    Out,
    Output,
    Publish,
    Source,
)

from troupe_nrp.graph.decorators import (
    ExecPolicy,
    GraphInput,
    GraphNode,
    GraphOutput,
    MsgCache,
    MsgPublish,
    PublishFormat,
)
from troupe_nrp.graph.topics import PORT
from troupe_nrp.packs import DataPack, received

ONCE = ConnectionSettings(delivery="once")
LATCH = ConnectionSettings(delivery="latch")
MILLISECOND_NS = 1_000_000


class NodeAdapter:
    """Calls a user's node with datapacks, and sorts what it returns.

    Attributes:
        function: the node of Troupe's graph.
    """

    def __init__(
        self, node: GraphNode, engines: Mapping[str, str], inputs: Mapping[str, Sequence[str]]
    ) -> None:
        """Translate a node.

        Args:
            node: of the user's.
            engines: the name in the loop of each engine.
            inputs: the packs that each engine takes.

        Raises:
            UserError: if an address is none, or there is no such engine or pack.
        """
        self._node = node
        self._arguments = dict(node.inputs)
        self._outputs: list[Output] = [Out(f"{node.name}/{output}") for output in node.outputs]
        self._sources: list[tuple[int, str | None]] = [(i, None) for i in range(len(node.outputs))]
        for target in node.targets:
            for pack, output in _outputs(target, engines, inputs, f"node '{node.name}'"):
                self._outputs.append(output)
                self._sources.append((node.outputs.index(target.output), pack))
        has_time = any(given.kind in ("clock", "iteration") for given in node.inputs.values())
        always = node.policy is ExecPolicy.always or has_time
        call = self._call
        self.function = NodeFunction(
            _named(call, node.name),
            "transceiver",
            runs="always" if always else "on-new-message",
            inputs={name: _input(given, engines) for name, given in node.inputs.items()},
            outputs=tuple(self._outputs),
        )
        self._missing = [
            name
            for name, parameter in inspect.signature(node.call).parameters.items()
            if name not in node.inputs and parameter.default is parameter.empty
        ]

    def _call(self, *values: Any) -> Any:
        arguments: dict[str, Any] = dict.fromkeys(self._missing)
        for (name, given), value in zip(self._arguments.items(), values, strict=True):
            arguments[name] = _argument(given, value)
        result = self._node.call(**arguments)
        if result is None:
            return None
        if not isinstance(result, list | tuple) or len(result) != len(self._node.outputs):
            raise ValueError(
                f"a node returns a list of {len(self._node.outputs)} values, one for each output, "
                f"not {result!r}"
            )
        sorted_values = [
            _result(result[index], pack, output)
            for (index, pack), output in zip(self._sources, self._outputs, strict=True)
        ]
        return sorted_values[0] if len(sorted_values) == 1 else tuple(sorted_values)


def engine_and_pack(address: str, where: str) -> tuple[str, str]:
    """Return what "engine/pack" names.

    Raises:
        UserError: if there is no pack.
    """
    engine, slash, pack = address.partition("/")
    if not slash or not engine or not pack:
        raise UserError(f"{where}: '/{address}' is no address: write '/engine/pack'.")
    return engine, pack


def _input(given: GraphInput, engines: Mapping[str, str]) -> Input:
    if given.kind == "clock":
        return SimulationTime
    if given.kind == "iteration":
        return LoopIteration
    source: Source
    if given.kind == "node":
        return Node(given.address)
    if given.kind == "mqtt":
        source = Message(f"{PORT}:{given.address}")
    else:
        engine, pack = engine_and_pack(given.address, "@FromEngine")
        source = From(f"{engines[engine]}.{pack}")
    if given.publish is MsgPublish.all:
        return All(source, keep=given.cache is MsgCache.keep)
    return source if given.cache is MsgCache.keep else New(source)


def _outputs(
    target: GraphOutput,
    engines: Mapping[str, str],
    inputs: Mapping[str, Sequence[str]],
    where: str,
) -> list[tuple[str | None, Output]]:
    """Return where a result goes, with the pack's name if it is a datapack."""
    if target.kind == "mqtt":
        batch = target.format is PublishFormat.batch
        delivery = LATCH.delivery if target.from_cache else ONCE.delivery
        publish = Publish(f"{PORT}:{target.address}", "batch" if batch else "series", delivery)
        return [(None, _every(target, publish))]
    engine, _, pack = target.address.partition("/")
    if engine not in engines:
        raise unknown("engine", engine, engines, where)
    if pack and pack not in inputs[engine]:
        raise unknown("datapack", pack, inputs[engine], f"{where}: engine '{engine}'")
    connection = LATCH if target.from_cache else ONCE
    return [
        (name, _every(target, To(f"{engines[engine]}.{name}", connection=connection)))
        for name in ([pack] if pack else inputs[engine])
    ]


def _every(target: GraphOutput, output: To | Publish) -> Output:
    return output if target.period == 1 else Every(target.period, output)


def _argument(given: GraphInput, value: Any) -> Any:
    if given.kind == "clock":
        return value // MILLISECOND_NS
    if given.kind != "engine":
        return value
    engine, pack = engine_and_pack(given.address, "@FromEngine")
    if isinstance(value, list):
        return [_pack(engine, pack, one) for one in value]
    return _pack(engine, pack, value)


def _pack(engine: str, pack: str, value: Any) -> DataPack | None:
    if value is None or value[0] is None:
        return None
    return received(pack, engine, value[0], is_updated=True)


def _result(value: Any, pack: str | None, output: Output) -> Any:
    """Return what a result is for one output: itself, or its values for an engine's pack."""
    target = output.output if isinstance(output, Every) else output
    if not isinstance(target, To) or value is None:
        return value
    if not isinstance(value, DataPack):
        raise TypeError(f"an engine is sent a datapack, not {value!r}")
    return _values(value) if value.name == pack and not value.isEmpty() else None


def _values(pack: DataPack) -> npt.NDArray[Any]:
    values = np.empty(1, object)
    values[0] = pack.travelling()
    return values


def _named(call: Any, name: str) -> Any:
    def named(*values: Any) -> Any:
        return call(*values)

    named.__name__ = name
    return named
