"""From a user's file to a Nengo network and the nodes and probes that are its datapacks."""

from __future__ import annotations

import inspect
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from importlib import import_module
from typing import Any

import nengo
import numpy as np
import numpy.typing as npt

from troupe.core.arrays import Array
from troupe.core.errors import UserError, unknown
from troupe.core.user_code import find_in_file, load_file, user_traceback
from troupe.engines.nengo_settings import NengoSettings


@dataclass(frozen=True, eq=False)
class Model:
    """A network and its packs.

    Attributes:
        network: as the user's function returned it, with a seed.
        inputs: nodes that the engine feeds, by pack name.
        outputs: probes whose newest values are read, by pack name.
    """

    network: Any
    inputs: Mapping[str, Any]
    outputs: Mapping[str, Any]


def model_function(settings: NengoSettings, where: str) -> Callable[[], Model]:
    """Return a function that makes a new, equal model each time.

    Raises:
        UserError: if the file cannot be used; so does the function.
    """
    place = f"{where}.model"
    function = find_in_file(load_file(settings.model, place), "model", place)

    def make() -> Model:
        try:
            made = function(**settings.parameters)
        except Exception as error:
            raise UserError(f"{place}: 'model' raised:\n{user_traceback(error)}") from error
        model = _as_model(made, settings, where)
        if model.network.seed is None:
            model.network.seed = settings.seed
        return model

    return make


def simulator_maker(settings: NengoSettings, where: str) -> Callable[[Any], Any]:
    """Return a function that makes a simulator of a network.

    Raises:
        UserError: if there is no such simulator, or it does not have the options.
    """
    module, _, name = settings.simulator.partition(":")
    try:
        cls = getattr(import_module(module), name)
    except (ImportError, AttributeError, ValueError) as error:
        message = f"'{settings.simulator}' cannot be imported as module:class: {error}"
        raise UserError(f"{where}.simulator: {message}.") from error
    options: dict[str, Any] = {"dt": float(settings.timestep / 10**9), "progress_bar": False}
    if cls is nengo.Simulator:
        options["optimize"] = False
    options |= settings.simulator_options
    try:
        inspect.signature(cls).bind(None, **options)
    except TypeError as error:
        message = f"'{settings.simulator}' {error}"
        raise UserError(f"{where}.simulator_options: {message}.") from error
    return lambda network: cls(network, **options)


def initial_value(node: Any) -> Array:
    """Return what a node puts out before it is written: its constant, or zeros."""
    return np.zeros(node.size_out) if node.output is None else np.array(node.output, np.float64)


def shape(probe: Any, simulator: Any) -> tuple[int, ...]:
    """Return the shape of a probe's values, which only Nengo's own simulator knows of weights."""
    signal = getattr(simulator.model, "sig", {}).get(probe, {}).get("in")
    return (probe.size_in,) if signal is None else tuple(signal.shape)


def feed(node: Any, values: npt.NDArray[np.float64]) -> None:
    """Let a node put out what an array holds."""
    node.output = (lambda t: values) if node.size_in == 0 else (lambda t, x: values)


def _as_model(made: Any, settings: NengoSettings, where: str) -> Model:
    network, *dicts = made if isinstance(made, tuple) else (made,)
    if not isinstance(network, nengo.Network) or len(dicts) not in (0, 2):
        message = f"'model' returned {made!r}, not a nengo.Network or (network, inputs, outputs)"
        raise UserError(f"{where}.model: {message}.")
    if settings.packs is not None:
        inputs, outputs = _named_packs(network, settings.packs, where)
    elif dicts:
        inputs, outputs = dicts
    else:
        inputs = _by_label([n for n in network.nodes if _can_be_fed(n, network)], where)
        outputs = _by_label(network.probes, where)
    for pack, node in inputs.items():
        if not isinstance(node, nengo.Node) or not _can_be_fed(node, network):
            message = (
                f"{node!r} cannot be written: it is no nengo.Node with a constant output, nor one "
                "with a size_in and no connection to it"
            )
            raise UserError(f"{where}.packs.{pack}: {message}.")
    for pack, probe in outputs.items():
        if not isinstance(probe, nengo.Probe):
            raise UserError(
                f"{where}.packs.{pack}: {probe!r} cannot be read: it is no nengo.Probe."
            )
    if not outputs:
        message = "the network has no nengo.Probe with a label to read"
        raise UserError(f"{where}.model: {message}.")
    return Model(network, inputs, outputs)


def _named_packs(
    network: Any, packs: Mapping[str, str], where: str
) -> tuple[dict[str, Any], dict[str, Any]]:
    inputs: dict[str, Any] = {}
    outputs: dict[str, Any] = {}
    candidates = [*network.all_nodes, *network.all_probes]
    for pack, label in packs.items():
        found = [c for c in candidates if c.label == label]
        if not found:
            labels = {c.label for c in candidates if c.label is not None}
            raise unknown("label of a node or probe", label, labels, f"{where}.packs.{pack}")
        if len(found) > 1:
            message = f"{len(found)} nodes and probes are labelled '{label}'"
            raise UserError(f"{where}.packs.{pack}: {message}.")
        (inputs if isinstance(found[0], nengo.Node) else outputs)[pack] = found[0]
    return inputs, outputs


def _by_label(objects: Sequence[Any], where: str) -> dict[str, Any]:
    labelled = [o for o in objects if o.label is not None]
    packs = {o.label: o for o in labelled}
    if len(packs) < len(labelled):
        labels = [o.label for o in labelled]
        twice = next(label for label in labels if labels.count(label) > 1)
        message = f"two of the network's objects are labelled '{twice}'"
        raise UserError(f"{where}.model: {message}; rename one, or name the packs.")
    return packs


def _can_be_fed(node: Any, network: Any) -> bool:
    if node.output is not None:
        return isinstance(node.output, np.ndarray)
    is_connected = any(c.post_obj is node for c in network.all_connections)
    return node.size_in > 0 and not is_connected
