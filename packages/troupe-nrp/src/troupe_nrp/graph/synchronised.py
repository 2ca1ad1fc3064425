"""A graph in the fixed-step loop: its nodes run when an engine synchronises that needs them."""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Sequence

from troupe.loop.functions import Iteration, LoopFunction, To
from troupe.loop.graph import Graph, Sink
from troupe.loop.nodes import Node, NodeFunction


class SynchronisedGraph(Graph):
    """Runs the nodes that feed what is sent to the engines that are due, directly or not.

    So a node behaves as a transceiver function of the engines that it sends to. Topics are
    published at each synchronisation. A node that feeds neither never runs.

    Attributes:
        notes: functions of the loop that note who is due, before the nodes run.
    """

    def __init__(self, nodes: Sequence[NodeFunction], engines: Iterable[str]) -> None:
        """Order nodes.

        Args:
            nodes: of the graph.
            engines: names of those at whose synchronisations nodes run.

        Raises:
            UserError: as `Graph` does.
        """
        super().__init__(nodes, "output-driven")
        self._synchronised: dict[str, int] = {}
        self._feeding = {sink: frozenset(self._upstream(sink.node)) for sink in self.sinks}
        self.notes = tuple(self._note(engine) for engine in engines)

    def active(self, iteration: int) -> frozenset[str]:
        """Return the names of the nodes that may run at a step."""
        due = [sink for sink in self.sinks if self._is_due(sink, iteration)]
        return frozenset().union(*(self._feeding[sink] for sink in due))

    def _is_due(self, sink: Sink, iteration: int) -> bool:
        if isinstance(sink.output, To):
            engine = sink.output.pack.partition(".")[0]
            return self._synchronised.get(engine) == iteration
        return iteration % sink.steps == 0

    def _upstream(self, name: str) -> Iterator[str]:
        yield name
        for source in self.nodes[name].sources.values():
            if isinstance(source, Node):
                yield from self._upstream(self.producers[source.name])

    def _note(self, engine: str) -> LoopFunction:
        def note(iteration: int) -> None:
            self._synchronised[engine] = iteration

        note.__name__ = f"synchronisation of {engine}"
        return LoopFunction(note, "preprocessing", (engine,), {"iteration": Iteration}, ())
