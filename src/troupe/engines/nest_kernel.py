"""The NEST kernel of this process."""

from __future__ import annotations

import os
import sys
import warnings
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from fractions import Fraction
from typing import Any, Protocol

import numpy as np
import numpy.typing as npt

from troupe.core.arrays import Array, Ids
from troupe.core.errors import EngineError, UserError
from troupe.core.seeding import Streams

Populations = dict[str, Ids]

MAX_NEST_SEED = 2**31 - 1


class Kernel(Protocol):
    """What the engine needs of NEST, here or behind a server. Nodes are opaque handles.

    Attributes:
        errors: what NEST raises.
        releases_gil: whether `simulate` leaves Python to other threads.
    """

    errors: tuple[type[Exception], ...]
    releases_gil: bool

    def build(self, seeds: Sequence[int]) -> list[Populations]:
        """Empty the kernel, build a copy of the network a seed; return node ids by population."""

    def nodes(self, ids: Ids) -> Any:
        """Return a handle of ascending node ids."""

    def create(self, model: str, count: int, parameters: Mapping[str, Any]) -> Any:
        """Return a handle of new nodes."""

    def connect(self, sources: Any, targets: Any, rule: str, synapse: Mapping[str, Any]) -> None:
        """Connect nodes; `synapse` is NEST's ``syn_spec``."""

    def get(self, nodes: Any, fields: Sequence[str]) -> dict[str, Sequence[Any]]:
        """Return fields of the nodes' status, one value a node."""

    def status(self, node: Any) -> dict[str, Any]:
        """Return the whole status of one node."""

    def set(self, nodes: Any, values: Sequence[Mapping[str, Any]]) -> None:
        """Set fields of the nodes' status, one mapping a node."""

    def settable(self, node: Any) -> tuple[str, ...]:
        """Return the fields of one node's status that can be set."""

    def synapses(self, sources: Ids, targets: Ids) -> Any:
        """Return a handle of the synapses between nodes, ordered by source, then target."""

    def get_weights(self, synapses: Any) -> Array:
        """Return the weights of synapses."""

    def set_weights(self, synapses: Any, weights: Array) -> None:
        """Set the weights of synapses."""

    def simulate(self, num_steps: int) -> None:
        """Advance by inner steps."""

    def take_events(self, recorder: Any) -> tuple[Ids, Array]:
        """Return senders and times (ms) of the spikes since the last call."""

    def close(self) -> None:
        """Release the kernel; may be called again."""


def import_nest(where: str) -> Any:
    """Return the module of NEST, imported without its banner.

    Raises:
        UserError: if NEST is not installed.
    """
    arguments, quiet = sys.argv, os.environ.get("PYNEST_QUIET")
    flags = sys.getdlopenflags()  # which it changes for all that is loaded after it
    os.environ["PYNEST_QUIET"] = "1"
    sys.argv = arguments[:1]  # it would take options that are not meant for it
    try:
        import nest
    except ImportError as error:
        message = f"{where}: NEST is not installed ({error}): pip install 'troupe[nest]'"
        raise UserError(message) from error
    finally:
        sys.argv = arguments
        sys.setdlopenflags(flags)
        if quiet is None:
            del os.environ["PYNEST_QUIET"]
    nest.verbosity = nest.VerbosityLevel.ERROR
    return nest


Build = Callable[[Sequence[int]], Sequence[Mapping[str, Any]]]


class LocalKernel:
    """The one NEST kernel of this process, held by one engine at a time."""

    releases_gil = False
    _holder: str | None = None

    def __init__(
        self,
        nest: Any,
        name: str,
        timestep_ns: Fraction,
        build: Build,
        finish: Callable[[], None] | None = None,
    ) -> None:
        """Take the kernel.

        Args:
            nest: NEST's module.
            name: of the engine.
            timestep_ns: of one inner step.
            build: empties the kernel and builds a copy of the network for each seed; returns
                each copy's populations.
            finish: empties the kernel at the end; default: NEST's ``ResetKernel``.

        Raises:
            EngineError: if another engine holds the kernel.
        """
        if LocalKernel._holder is not None:
            raise EngineError(
                f"engines.{name}: engine '{LocalKernel._holder}' holds the NEST kernel of this "
                "process, and there is one. Give each brain 'host: process'."
            )
        LocalKernel._holder = name
        self._is_open = True
        self._nest = nest
        self.errors: tuple[type[Exception], ...] = (nest.NESTError, KeyError, TypeError, ValueError)
        self._api = nest.ll_api.nestkernel
        self._timestep_ms = float(timestep_ns / 10**6)
        self._build = build
        self._finish = finish or nest.ResetKernel

    def build(self, seeds: Sequence[int]) -> list[Populations]:
        with silent():
            copies = self._build(seeds)
        return [{n: np.asarray(nodes.tolist()) for n, nodes in c.items()} for c in copies]

    def nodes(self, ids: Ids) -> Any:
        return self._nest.NodeCollection(ids)

    def create(self, model: str, count: int, parameters: Mapping[str, Any]) -> Any:
        return self._nest.Create(model, count, params=dict(parameters))

    def connect(self, sources: Any, targets: Any, rule: str, synapse: Mapping[str, Any]) -> None:
        self._nest.Connect(sources, targets, rule, syn_spec=dict(synapse))

    def get(self, nodes: Any, fields: Sequence[str]) -> dict[str, Sequence[Any]]:
        values = nodes.get(list(fields))
        return values if len(nodes) > 1 else {field: [values[field]] for field in fields}

    def status(self, node: Any) -> dict[str, Any]:
        return dict(node.get())

    def set(self, nodes: Any, values: Sequence[Mapping[str, Any]]) -> None:
        # NodeCollection.set asks every node first whether it is local: nine times as long
        self._api.llapi_set_nc_status(nodes._datum, values)

    def settable(self, node: Any) -> tuple[str, ...]:
        return tuple(
            field for field, value in node.get().items() if self._accepts(node, field, value)
        )

    def synapses(self, sources: Ids, targets: Ids) -> Any:
        synapses = self._nest.GetConnections(self.nodes(sources), self.nodes(targets))
        if not len(synapses):
            return synapses, np.zeros(0, np.int64)
        ends = [np.atleast_1d(synapses.get(end)) for end in ("target", "source")]
        return synapses, np.lexsort(ends)

    def get_weights(self, synapses: Any) -> Array:
        found, order = synapses
        if not len(order):
            return np.zeros(0)
        weights: Array = np.atleast_1d(np.asarray(found.get("weight"), np.float64))[order]
        return weights

    def set_weights(self, synapses: Any, weights: Array) -> None:
        found, order = synapses
        in_order = np.empty(len(order))
        in_order[order] = weights
        found.set([{"weight": weight} for weight in in_order.tolist()])

    def simulate(self, num_steps: int) -> None:
        self._nest.Simulate(num_steps * self._timestep_ms)

    def take_events(self, recorder: Any) -> tuple[Ids, npt.NDArray[np.float64]]:
        events = recorder.get("events")
        if len(events["senders"]):
            self.set(recorder, [{"n_events": 0}])
        return np.asarray(events["senders"], np.int64), np.asarray(events["times"], np.float64)

    def close(self) -> None:
        if self._is_open:
            self._is_open = False
            LocalKernel._holder = None
            with silent():
                self._finish()

    def _accepts(self, node: Any, field: str, value: Any) -> bool:
        try:
            self.set(node, [{field: value}])
        except self.errors:
            return False
        return True


def nest_seed(seed: int) -> int:
    """Return the seed of NEST's own random numbers that follows from an instance's."""
    return 1 + Streams(seed).seed("nest") % MAX_NEST_SEED


@contextmanager
def silent() -> Iterator[None]:
    """Keep Python's warnings away: PyNN uses what NEST deprecates."""
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        yield
