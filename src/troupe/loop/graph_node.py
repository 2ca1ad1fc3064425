"""One node of a graph that runs: from what the loop gives it to the user's function and back."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any, Protocol

import numpy as np
import numpy.typing as npt

from troupe.loop.functions import Argument, From, IsUpdated, Memory
from troupe.loop.graph import Graph
from troupe.loop.graph_messages import Inbox
from troupe.loop.nodes import NodeFunction, Previous, source_of


class Steps(Protocol):
    """What a node needs of the run of its graph.

    Attributes:
        graph: itself.
    """

    graph: Graph

    def is_active(self, name: str) -> bool:
        """Return whether a node may run at this step."""

    def give(self, made: NodeFunction, values: Sequence[Any]) -> None:
        """Pass the results of a node on; None is none."""

    def produced(self, name: str) -> Any:
        """Return what was given out by a name at this step, or None."""


class NodeRun:
    """One node of a graph that runs.

    Attributes:
        made: the node.
        arguments: what the loop is to give it at each synchronisation.
        inboxes: of its arguments that are messages.
        remembers: whether it reads what was given out before.
    """

    def __init__(self, made: NodeFunction, run: Steps) -> None:
        """Translate the node's inputs into a loop function's arguments."""
        self.made, self._run = made, run
        self.arguments: dict[str, Argument] = {}
        self.inboxes: dict[str, Inbox] = {}
        self._updates: dict[str, str] = {}
        self._previous: dict[str, npt.NDArray[Any]] = {}
        self._is_needed = made.name in run.graph.needed
        self.remembers = any(isinstance(given, Previous) for given in made.inputs.values())
        for name, given in made.inputs.items():
            self._translate(name, given)

    def reset(self) -> None:
        """Forget all messages."""
        for inbox in self.inboxes.values():
            inbox.reset()

    def step(self, *values: Any) -> None:
        """Run the node if it is its turn."""
        given = dict(zip(self.arguments, values, strict=True))
        self._previous = {
            n: given[n] for n, g in self.made.inputs.items() if isinstance(g, Previous)
        }
        if not self._is_needed:
            return
        for name, update in self._updates.items():
            if given[update]:
                self.inboxes[name].put(given[name])
        is_due = self.made.runs == "always" or any(i.has_new for i in self.inboxes.values())
        if is_due and self._run.is_active(self.made.name):
            result = self.made.call(*[self._value(name, given) for name in self.made.inputs])
            self._run.give(self.made, self._results(result))

    def remember(self) -> None:
        """Keep what was given out at this step for the next."""
        for name, given in self.made.inputs.items():
            if isinstance(given, Previous):
                value = self._run.produced(given.name)
                if value is not None:
                    _store(self._previous[name], value, given.name)

    def _translate(self, name: str, given: Any) -> None:
        source = source_of(given)
        if source is not None:
            self.inboxes[name] = Inbox(given)
        if isinstance(source, From):
            self.arguments[name] = source
            self._updates[name] = f"{name} is updated"
            self.arguments[self._updates[name]] = IsUpdated(source.pack)
        elif isinstance(given, Previous):
            memory = Memory(f"previous {name}", given.shape, given.initial, given.dtype)
            self.arguments[name] = memory
        elif source is None:
            self.arguments[name] = given

    def _value(self, name: str, given: Mapping[str, Any]) -> Any:
        if name not in self.inboxes:
            return given[name]
        taken = self.inboxes[name].take()
        # the loop's own view is current, also after a part of the instances was reset
        return given[name] if isinstance(self.made.inputs[name], From) else taken

    def _results(self, result: Any) -> Sequence[Any]:
        num_results = len(self.made.outputs)
        if result is None:
            return (None,) * num_results
        if num_results == 1:
            return (result,)
        if not isinstance(result, tuple) or len(result) != num_results:
            raise ValueError(f"it must return a tuple of {num_results} results, not {result!r}")
        return result


def _store(array: npt.NDArray[Any], value: Any, name: str) -> None:
    try:
        np.copyto(array, value, casting="same_kind")
    except (ValueError, TypeError) as error:
        given = np.asarray(value)
        raise ValueError(
            f"Previous('{name}') holds an array of shape {array.shape} and dtype {array.dtype}, "
            f"not {given.shape} and {given.dtype}; give it shape=... and dtype=..."
        ) from error
