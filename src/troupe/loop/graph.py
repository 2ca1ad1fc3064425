"""A graph of nodes: which feeds which, in which order they run, and who is needed when."""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass
from graphlib import CycleError, TopologicalSorter
from typing import Literal, TypeVar

from troupe.core.errors import UserError, unknown
from troupe.loop.functions import To
from troupe.loop.nodes import Every, Message, Node, NodeFunction, Out, Previous, Publish

Execution = Literal["all-nodes", "output-driven"]
Value = TypeVar("Value")


@dataclass(frozen=True)
class Sink:
    """A result that leaves the graph.

    Attributes:
        node: name of the node.
        index: of the result among the node's.
        output: where it goes.
        steps: it goes there at every so many steps.
    """

    node: str
    index: int
    output: To | Publish
    steps: int


class Graph:
    """Nodes in the order in which they run: each after those that it reads from.

    Attributes:
        nodes: by name, in that order.
        producers: name of the node that gives out each `Out`.
        sinks: results that leave the graph.
        execution: whether all nodes run, or those only that a result needs which is sent.
    """

    def __init__(self, nodes: Sequence[NodeFunction], execution: Execution = "all-nodes") -> None:
        """Order nodes.

        Raises:
            UserError: if two have the same name or give out the same, one reads what nobody gives
                out, or they form a cycle.
        """
        self.execution = execution
        by_name = _unique(((n.name, n) for n in nodes), "nodes have the name")
        self.producers = _unique(
            ((out.name, n.name) for n in nodes for out in n.outputs if isinstance(out, Out)),
            "nodes give out",
        )
        self.nodes = {name: by_name[name] for name in self._order(nodes)}
        self.sinks = tuple(sink for n in self.nodes.values() for sink in _sinks(n))
        self._periods = sorted({sink.steps for sink in self.sinks})
        self._active: dict[tuple[int, ...], frozenset[str]] = {}

    def active(self, iteration: int) -> frozenset[str]:
        """Return the names of the nodes that may run at a step."""
        due = tuple(steps for steps in self._periods if iteration % steps == 0)
        if due not in self._active:
            self._active[due] = self._needed(due)
        return self._active[due]

    @property
    def needed(self) -> frozenset[str]:
        """The names of the nodes that run at any step."""
        return self._needed(self._periods)

    def subscriptions(self) -> list[str]:
        """Return the topics that needed nodes read, as "port:topic"."""
        sources = [s for name in self.needed for s in self.nodes[name].sources.values()]
        return sorted({s.topic for s in sources if isinstance(s, Message)})

    def publications(self) -> list[str]:
        """Return the topics that nodes publish, as "port:topic"."""
        return sorted({s.output.topic for s in self.sinks if isinstance(s.output, Publish)})

    def _order(self, nodes: Sequence[NodeFunction]) -> list[str]:
        before = {
            n.name: [self._producer(s.name, n) for s in n.sources.values() if isinstance(s, Node)]
            for n in nodes
        }
        for n in nodes:
            for name in _remembered(n):
                self._producer(name, n)
        try:
            return list(TopologicalSorter(before).static_order())
        except CycleError as error:
            cycle = error.args[1]
            raise UserError(
                f"nodes form a cycle: {' -> '.join(cycle)}. Let one of them read "
                "Previous('name', initial=...) instead of Node('name')."
            ) from error

    def _producer(self, name: str, reader: NodeFunction) -> str:
        if name not in self.producers:
            raise unknown("output of a node", name, self.producers, f"node '{reader.name}'")
        return self.producers[name]

    def _needed(self, due: Iterable[int]) -> frozenset[str]:
        if self.execution == "all-nodes":
            return frozenset(self.nodes)
        needed: set[str] = set()
        rest = [sink.node for sink in self.sinks if sink.steps in due]
        while rest:
            name = rest.pop()
            if name in needed:
                continue
            needed.add(name)
            reader = self.nodes[name]
            read = [s.name for s in reader.sources.values() if isinstance(s, Node)]
            rest += [self.producers[out] for out in [*read, *_remembered(reader)]]
        return frozenset(needed)


def _remembered(reader: NodeFunction) -> list[str]:
    return [given.name for given in reader.inputs.values() if isinstance(given, Previous)]


def _sinks(made: NodeFunction) -> Iterator[Sink]:
    for index, output in enumerate(made.outputs):
        steps, target = (output.steps, output.output) if isinstance(output, Every) else (1, output)
        if not isinstance(target, Out):
            yield Sink(made.name, index, target, steps)


def _unique(pairs: Iterator[tuple[str, Value]], what: str) -> dict[str, Value]:
    found: dict[str, Value] = {}
    for name, value in pairs:
        if name in found:
            raise UserError(f"two {what} '{name}'.")
        found[name] = value
    return found
