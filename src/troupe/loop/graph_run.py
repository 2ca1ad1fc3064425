"""A graph that runs in a loop: its nodes as functions of the loop, and its ports to the outside."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Mapping, Sequence
from typing import Any

import numpy as np
import numpy.typing as npt

from troupe.core.errors import UserError, unknown
from troupe.loop.functions import Argument, Iteration, LoopFunction, Memory, To
from troupe.loop.graph import Graph
from troupe.loop.graph_messages import Inbox, Outbox
from troupe.loop.graph_node import NodeRun
from troupe.loop.nodes import Message, Node, NodeFunction, Out
from troupe.loop.ports import Port


class GraphRun:
    """Runs a graph as functions of a loop, at every synchronisation and in layers.

    First messages come in, then nodes run, each after those that it reads from, then results are
    sent. A reset of all instances forgets all messages; a reset of some returns their rows of
    `Memory` and `Previous` only.

    Attributes:
        graph: itself.
        ports: to the outside, by name.
        functions: for the loop's wiring, in the order in which they run.
    """

    def __init__(
        self, graph: Graph, engines: Iterable[str], ports: Mapping[str, Port] | None = None
    ) -> None:
        """Prepare; `connect` comes before the first step.

        Args:
            graph: to run.
            engines: names of those at whose synchronisations it runs.
            ports: to the outside by name, not connected yet.

        Raises:
            UserError: if a node names a port that does not exist.
        """
        self.graph = graph
        self.ports = dict(ports or {})
        self._engines = tuple(engines)
        self._iteration = 0
        self._is_fresh, self._has_run = True, False
        self._produced: dict[str, Any] = {}
        self._runs = {name: NodeRun(made, self) for name, made in graph.nodes.items()}
        self._outboxes = [Outbox(sink) for sink in graph.sinks]
        needed = [self._runs[name] for name in graph.nodes if name in graph.needed]
        self._readers = _inboxes(needed, Node, lambda source: source.name)
        self._listeners = _inboxes(needed, Message, lambda source: source.topic)
        self._subscriptions = self._by_port(graph.subscriptions())
        self._publications = self._by_port(graph.publications())
        self.functions = tuple(self._functions())

    def connect(self) -> None:
        """Connect the ports; from now on messages are received.

        Raises:
            UserError: if one cannot be connected.
        """
        for name, port in self.ports.items():
            port.connect(self._subscriptions[name], self._publications[name])

    def reset(self) -> None:
        """Forget all messages, also those that wait outside."""
        if self._has_run:  # before the first step they are for that step
            self._poll()
        for run in self._runs.values():
            run.reset()
        for outbox in self._outboxes:
            outbox.reset()
        self._is_fresh, self._has_run = True, False

    def is_active(self, name: str) -> bool:
        """Return whether a node may run at this step."""
        return name in self.graph.active(self._iteration)

    def give(self, made: NodeFunction, values: Sequence[Any]) -> None:
        """Pass the results of a node on; None is none."""
        for output, value in zip(made.outputs, values, strict=True):
            if isinstance(output, Out) and value is not None:
                self._produced[output.name] = value
                for inbox in self._readers.get(output.name, ()):
                    inbox.put(value)
        for outbox in self._outboxes:
            if outbox.sink.node == made.name and values[outbox.sink.index] is not None:
                outbox.put(values[outbox.sink.index])

    def produced(self, name: str) -> Any:
        """Return what was given out by a name at this step, or None."""
        return self._produced.get(name)

    def statistics(self) -> dict[str, dict[str, int]]:
        """Return the counts of each port."""
        return {name: port.statistics() for name, port in self.ports.items()}

    def close(self) -> None:
        """Disconnect the ports."""
        for port in self.ports.values():
            port.close()

    def _by_port(self, topics: Sequence[str]) -> dict[str, list[str]]:
        found: dict[str, list[str]] = {name: [] for name in self.ports}
        for topic in topics:
            port, colon, rest = topic.partition(":")
            if not colon or not rest:
                raise UserError(f"'{topic}' is no topic: write 'port:topic'.")
            if port not in found:
                raise unknown("port", port, found, f"loop.ports: for '{topic}'")
            found[port].append(rest)
        return found

    def _functions(self) -> Iterable[LoopFunction]:
        first: dict[str, Argument] = {
            "started": Memory("started", dtype=np.bool_),
            "iteration": Iteration,
        }
        yield self._function("graph", self._begin, first)
        for run in self._runs.values():
            yield self._function(run.made.name, run.step, run.arguments)
        for outbox in self._outboxes:
            yield self._sender(outbox)
        for run in self._runs.values():
            if run.remembers:
                yield self._function(run.made.name, run.remember)

    def _function(
        self,
        name: str,
        call: Callable[..., Any],
        arguments: Mapping[str, Argument] | None = None,
        results: tuple[To, ...] = (),
    ) -> LoopFunction:
        """Return a function of the loop that runs at each synchronisation, under a name."""

        def named(*values: Any) -> Any:
            return call(*values)

        named.__name__ = name
        return LoopFunction(named, "transceiver", self._engines, arguments or {}, results)

    def _begin(self, started: npt.NDArray[np.bool_], iteration: int) -> None:
        """Bring in what came from outside; the loop's reset shows in its memory."""
        if not started.any() and not self._is_fresh:
            self.reset()
        started[:] = True
        self._is_fresh, self._has_run = False, True
        self._iteration = iteration
        self._produced.clear()
        for topic, messages in self._poll().items():
            for inbox in self._listeners.get(topic, ()):
                for message in messages:
                    inbox.put(message)

    def _poll(self) -> dict[str, Sequence[Any]]:
        return {
            f"{name}:{topic}": messages
            for name, port in self.ports.items()
            for topic, messages in port.poll().items()
        }

    def _sender(self, outbox: Outbox) -> LoopFunction:
        name, output = outbox.sink.node, outbox.sink.output
        if isinstance(output, To):

            def newest() -> Any:
                values = outbox.take(self._iteration)
                return values[-1] if values else None

            return self._function(name, newest, results=(output,))
        port_name, _, topic = output.topic.partition(":")

        def publish() -> None:
            for message in outbox.take(self._iteration):
                self.ports[port_name].publish(topic, message)

        return self._function(name, publish)


def _inboxes(
    runs: Iterable[NodeRun], kind: type[Any], key: Callable[[Any], str]
) -> dict[str, list[Inbox]]:
    """Return the inboxes of arguments of a kind, by what they read."""
    found: dict[str, list[Inbox]] = {}
    for run in runs:
        for name, source in run.made.sources.items():
            if isinstance(source, kind):
                found.setdefault(key(source), []).append(run.inboxes[name])
    return found
