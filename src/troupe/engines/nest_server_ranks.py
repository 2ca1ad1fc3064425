"""Runs in each process of a NEST server with MPI, which gets this file as text.

A process knows only the status of its own neurons, the synapses onto them, and the spikes that they
fired. So all carry out the same commands, exchange what each found, and the first one puts it
together. Nothing of Troupe, and no NEST, is imported: the server's Python need not have Troupe, and
Troupe does not load NEST.
"""

from __future__ import annotations

import logging
import sys
import time
import traceback
from collections.abc import Callable
from typing import Any

FILE = "<network>"
PATIENCE_S = 10.0


class Failure(Exception):  # noqa: N818 - it is handed over, not reported
    """Work failed in one process at least; `what` says how."""

    def __init__(self, what: dict[str, Any]) -> None:
        """Keep what is to be said."""
        super().__init__(what["error"])
        self.what = what


def build(nest: Any, comm: Any, text: str, call: str, num_instances: int) -> Any:
    """Run the text of a network's file and return the populations of each copy.

    If it fails in any process: ``{"error": message, "lines": of the text}``.
    """
    logging.getLogger("werkzeug").setLevel(logging.WARNING)  # else a line for each request
    namespace = {"nest": nest, "__name__": "network"}

    def work() -> Any:
        exec(compile(text, FILE, "exec"), namespace)
        copies = [eval(call, namespace, {"troupe_instance": i}) for i in range(num_instances)]
        if not all(isinstance(copy, dict) and copy for copy in copies):
            raise TypeError("network() must return a dict of populations")
        return [[[name, copy[name].tolist()] for name in copy] for copy in copies]

    try:
        parts = exchange(comm, work)
    except Failure as failure:
        error = f"{failure.what['type']}: {failure.what['error']}"
        return {"error": error, "lines": failure.what["lines"]}
    for rank, part in enumerate(parts):
        if part != parts[0]:
            message = f"network() made other populations in process {rank} than in process 0"
            return {"error": message, "lines": []}
    return parts[0]


def run(nest: Any, comm: Any, commands: list[dict[str, Any]]) -> Any:
    """Carry commands out and return what they give; ``{"error": message}`` if one fails.

    The first process' answer is what the server gives.
    """
    answers = []
    try:
        for command in commands:
            answer = COMMANDS[command["do"]](nest, comm, command)
            if answer is not None:
                answers.append(answer)
    except Failure as failure:
        return {"error": failure.what["error"]}
    return answers if comm.Get_rank() == 0 else None


def exchange(comm: Any, work: Callable[[], Any]) -> list[Any]:
    """Do this process' part of some work and return the parts of all, by rank.

    Raises:
        Failure: in all processes, if the work fails in any.
    """
    part: Any = None
    what: dict[str, Any] | None = None
    try:
        part = work()
    except Exception as error:
        frames = traceback.extract_tb(error.__traceback__)
        lines = [frame.lineno for frame in frames if frame.filename == FILE]
        what = {"error": str(error), "type": type(error).__name__, "lines": lines}
    arrived = comm.Ibarrier()
    if what is None:
        arrived.Wait()
    else:
        _wait_or_abort(comm, arrived, what["error"])
    found = comm.allgather((part, what))
    for _, what in found:
        if what is not None:
            raise Failure(what)
    return [part for part, _ in found]


def _wait_or_abort(comm: Any, arrived: Any, message: str) -> None:
    # others may wait inside NEST for this process, which will never come
    deadline = time.monotonic() + PATIENCE_S
    while not arrived.Test():
        if time.monotonic() > deadline:
            print(f"process {comm.Get_rank()} failed alone: {message}", file=sys.stderr, flush=True)
            comm.Abort(1)
        time.sleep(0.001)


def _simulate(nest: Any, comm: Any, command: dict[str, Any]) -> None:
    exchange(comm, lambda: nest.Simulate(command["duration_ms"]))


def _create(nest: Any, comm: Any, command: dict[str, Any]) -> Any:
    def work() -> Any:
        made = nest.Create(command["model"], command["count"], params=command["parameters"])
        return made.tolist()

    return exchange(comm, work)[0]


def _connect(nest: Any, comm: Any, command: dict[str, Any]) -> None:
    def work() -> None:
        sources, targets = _nodes(nest, command["sources"]), _nodes(nest, command["targets"])
        nest.Connect(sources, targets, command["rule"], syn_spec=command["synapse"])

    exchange(comm, work)


def _set(nest: Any, comm: Any, command: dict[str, Any]) -> None:
    # NEST passes over nodes of other processes
    exchange(comm, lambda: _nodes(nest, command["nodes"]).set(command["values"]))


def _get(nest: Any, comm: Any, command: dict[str, Any]) -> dict[str, Any]:
    fields, count = command["fields"], len(command["nodes"])

    def work() -> Any:
        status = _status_lists(nest, command["nodes"])
        rows = [row for row in range(count) if status["local"][row]]
        return rows, [[status[field][row] for row in rows] if rows else [] for field in fields]

    values: dict[str, list[Any]] = {field: [None] * count for field in fields}
    for rows, columns in exchange(comm, work):
        for field, column in zip(fields, columns):  # noqa: B905 - for Python 3.9
            for row, value in zip(rows, column):  # noqa: B905
                values[field][row] = value
    if count == 1:
        return {field: values[field][0] for field in fields}
    return values


def _status(nest: Any, comm: Any, command: dict[str, Any]) -> Any:
    def work() -> Any:
        status = _nodes(nest, command["nodes"]).get()
        return dict(status) if status["local"] else None

    return _first(exchange(comm, work))


def _settable(nest: Any, comm: Any, command: dict[str, Any]) -> Any:
    def work() -> Any:
        node = _nodes(nest, command["nodes"])
        status = node.get()
        return [f for f in status if _accepts(node, f, status[f])] if status["local"] else None

    return _first(exchange(comm, work))


def _accepts(node: Any, field: str, value: Any) -> bool:
    try:
        node.set([{field: value}])
    except Exception:
        return False
    return True


def _events(nest: Any, comm: Any, command: dict[str, Any]) -> list[list[Any]]:
    def work() -> Any:
        recorder = _nodes(nest, command["nodes"])
        events = recorder.get("events")
        recorder.set([{"n_events": 0}])
        return list(zip(events["times"].tolist(), events["senders"].tolist()))  # noqa: B905

    spikes = sorted(spike for part in exchange(comm, work) for spike in part)
    return [[sender for _, sender in spikes], [time_ms for time_ms, _ in spikes]]


def _synapses(nest: Any, comm: Any, command: dict[str, Any]) -> list[float]:
    rank = comm.Get_rank()
    held: list[Any] = []

    def find() -> Any:
        sources, targets = _nodes(nest, command["sources"]), _nodes(nest, command["targets"])
        held.append(nest.GetConnections(sources, targets))
        columns = [_column(held[0], field) for field in ("source", "target", "weight")]
        rows = zip(*columns)  # noqa: B905
        return [
            (source, target, rank, i, weight) for i, (source, target, weight) in enumerate(rows)
        ]

    parts = exchange(comm, find)
    found = sorted(synapse for part in parts for synapse in part)
    if command["weights"] is not None:
        changes: list[Any] = [None] * len(parts[rank])
        for synapse, weight in zip(found, command["weights"]):  # noqa: B905
            if synapse[2] == rank:
                changes[synapse[3]] = {"weight": weight}
        exchange(comm, lambda: held[0].set(changes))
    return [synapse[4] for synapse in found]


def _nodes(nest: Any, ids: list[int]) -> Any:
    return nest.NodeCollection(ids)


def _status_lists(nest: Any, ids: list[int]) -> dict[str, Any]:
    status = _nodes(nest, ids).get()
    return status if len(ids) > 1 else {field: [value] for field, value in status.items()}


def _column(synapses: Any, field: str) -> list[Any]:
    if not len(synapses):
        return []
    return [synapses.get(field)] if len(synapses) == 1 else list(synapses.get(field))


def _first(parts: list[Any]) -> Any:
    return next(part for part in parts if part is not None)


COMMANDS: dict[str, Callable[[Any, Any, dict[str, Any]], Any]] = {
    "simulate": _simulate,
    "create": _create,
    "connect": _connect,
    "set": _set,
    "get": _get,
    "status": _status,
    "settable": _settable,
    "events": _events,
    "synapses": _synapses,
}
