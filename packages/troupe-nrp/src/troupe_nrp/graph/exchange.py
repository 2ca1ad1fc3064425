"""A graph as what stands between the engines of a simulation."""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import replace
from pathlib import Path
from typing import Any

from troupe.core.errors import UserError, unknown
from troupe.loop.functions import LoopFunction
from troupe.loop.graph import Execution, Graph
from troupe.loop.graph_run import GraphRun
from troupe.loop.mqtt_settings import MqttSettings
from troupe.loop.ports import Port

from troupe_nrp.config import MqttConfig, SimulationConfig
from troupe_nrp.graph.decorators import GraphNode
from troupe_nrp.graph.nodes import NodeAdapter, engine_and_pack
from troupe_nrp.graph.synchronised import SynchronisedGraph
from troupe_nrp.graph.topics import PORT, TypedPort, check_type
from troupe_nrp.namespace import SharedNamespace

ALONE = "graph"
"""The name of the engine of a loop with a graph alone, which does nothing."""


class GraphExchange:
    """All nodes of one simulation.

    Attributes:
        is_done: never: a graph has no status function.
        trajectory: empty.
        run: the graph, once `loop_functions` has made it.
    """

    def __init__(self, config: SimulationConfig) -> None:
        """Load the nodes.

        Raises:
            UserError: if a file raises or has no nodes, or two have the same name.
        """
        if config.StatusFunction is not None or config.DataPackProcessingFunctions:
            raise UserError(
                "ComputationalGraph: an experiment has either a graph or functions; remove "
                "DataPackProcessingFunctions and StatusFunction, or set DataPackProcessor to tf."
            )
        self.is_done = False
        self.trajectory: list[Any] = []
        self._config = config
        self._nodes = _load_nodes(config)
        self._run: GraphRun | None = None

    @property
    def run(self) -> GraphRun:
        """The graph that runs."""
        assert self._run is not None
        return self._run

    def requested(self) -> dict[str, tuple[str, ...]]:
        """Return the packs that nodes read of each engine, in order."""
        found: dict[str, dict[str, None]] = {}
        for node in self._nodes:
            for given in node.inputs.values():
                if given.kind == "engine":
                    engine, pack = engine_and_pack(given.address, f"node '{node.name}'")
                    found.setdefault(engine, {})[pack] = None
        return {engine: tuple(packs) for engine, packs in found.items()}

    def check(self, engines: Iterable[str]) -> None:
        """Check the names of engines that nodes say.

        Raises:
            UserError: if there is no such engine.
        """
        names = list(engines)
        for node in self._nodes:
            addresses = [given.address for given in node.inputs.values() if given.kind == "engine"]
            addresses += [target.address for target in node.targets if target.kind == "engine"]
            for address in addresses:
                engine = address.partition("/")[0]
                if engine not in names:
                    raise unknown("engine", engine, names, f"node '{node.name}'")

    def loop_functions(
        self, engines: Mapping[str, str], inputs: Mapping[str, Sequence[str]]
    ) -> list[LoopFunction]:
        """Return what Troupe's fixed-step loop is to call.

        Args:
            engines: the name in the loop of each engine.
            inputs: the packs that each engine takes.
        """
        nodes = [_sent_always(node) for node in self._nodes]
        functions = [NodeAdapter(node, engines, inputs).function for node in nodes]
        graph = SynchronisedGraph(functions, engines.values())
        return [*graph.notes, *self._connected(graph, engines).functions]

    def graph_run(
        self, engines: Mapping[str, str], inputs: Mapping[str, Sequence[str]]
    ) -> GraphRun:
        """Return the graph that runs in Troupe's event loop, with its ports connected.

        Raises:
            UserError: if nodes do not fit together or to the engines, or the broker is not there.
        """
        driven = self._config.EventLoop.ExecutionMode == "OutputDriven"
        mode: Execution = "output-driven" if driven else "all-nodes"
        functions = [NodeAdapter(node, engines, inputs).function for node in self._nodes]
        return self._connected(Graph(functions, mode), engines)

    def _connected(self, graph: Graph, engines: Mapping[str, str]) -> GraphRun:
        self._run = GraphRun(graph, engines.values() or (ALONE,), self._ports())
        self._run.connect()
        return self._run

    def reset(self) -> None:
        """Do nothing: the graph notices the loop's reset."""

    def close(self) -> None:
        """Disconnect."""
        if self._run is not None:
            self._run.close()

    def _ports(self) -> dict[str, Port]:
        received: dict[str, Any] = {}
        published: dict[str, Any] = {}
        for node in self._nodes:
            for given in node.inputs.values():
                if given.kind == "mqtt":
                    _add_topic(received, given.address, given.type)
            for target in node.targets:
                if target.kind == "mqtt":
                    _add_topic(published, target.address, target.type)
        if not received and not published:
            return {}
        settings = self._config.MQTTNode or self._config.ConnectMQTT or MqttConfig()
        host, _, port = settings.MQTTBroker.partition(":")
        broker = MqttSettings(host=host or "localhost", port=int(port or 1883), payload="bytes")
        return {PORT: TypedPort(broker.build(PORT), received, published)}


def _sent_always(node: GraphNode) -> GraphNode:
    """Return a node that sends to an engine whenever that synchronises, at no period of its own."""
    targets = [replace(t, period=1) if t.kind == "engine" else t for t in node.targets]
    return replace(node, targets=targets)


def _add_topic(types: dict[str, Any], topic: str, kind: Any) -> None:
    check_type(kind, topic)
    if types.setdefault(topic, kind) is not kind:
        raise UserError(f"topic '{topic}': it has two types, {types[topic]!r} and {kind!r}.")


def _load_nodes(config: SimulationConfig) -> list[GraphNode]:
    nodes: list[GraphNode] = []
    namespace = SharedNamespace(Path.cwd())
    for path in config.ComputationalGraph:
        found = namespace.execute(path, "ComputationalGraph")
        own = [node for node in found if isinstance(node, GraphNode)]
        if not own:
            raise UserError(f"ComputationalGraph: '{path}' has no node with @FunctionalNode.")
        nodes += own
    if not nodes:
        raise UserError("ComputationalGraph: give at least one file with nodes.")
    return nodes
