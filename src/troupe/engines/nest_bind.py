"""From the packs in a user's settings to those of an engine."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from fractions import Fraction
from typing import Any, Protocol

from troupe.core.arrays import ArraySpec
from troupe.core.errors import UserError, unknown
from troupe.engines.brain_packs import (
    BrainPack,
    CurrentPack,
    InjectPack,
    ParameterPack,
    PoissonPack,
    RatePack,
    SpikesPack,
    VoltagePack,
    WeightPack,
)
from troupe.engines.nest_groups import Group, Groups
from troupe.engines.nest_kernel import Kernel
from troupe.engines.nest_packs import (
    CountOutput,
    FieldInput,
    FieldOutput,
    Input,
    Output,
    RateOutput,
    SynapseWeights,
)
from troupe.engines.nest_spike_inputs import InjectInput, PoissonInput

CURRENT_FIELD = "I_e"
VOLTAGE_FIELD = "V_m"


class BrainSettings(Protocol):
    """What the settings of all spiking engines have."""

    @property
    def timestep(self) -> Fraction:
        """Of one inner step, ns."""

    @property
    def packs(self) -> dict[str, BrainPack] | None:
        """What can be written and read."""


@dataclass(frozen=True)
class Units:
    """How users write currents and weights.

    Attributes:
        current: unit of currents.
        scale: NEST's value of 1 of them, also for weights.
    """

    current: str
    scale: float


NEST_UNITS = Units("pA", 1.0)
PYNN_UNITS = Units("nA", 1000.0)


class Binder:
    """Makes each pack, checked against one copy of the network."""

    def __init__(
        self,
        num_instances: int,
        timestep_ns: Fraction,
        kernel: Kernel,
        groups: Groups,
        settable: Mapping[str, tuple[str, ...]],
        units: Units,
    ) -> None:
        """Hold what packs are made of; `groups` are those of one copy."""
        self._num_instances = num_instances
        self._timestep_ns = timestep_ns
        self._kernel, self._groups = kernel, groups
        self._settable, self._units = settable, units

    def bind(self, name: str, pack: BrainPack, where: str) -> tuple[Input | None, Output | None]:
        """Return what writes and what reads a pack.

        Raises:
            UserError: if the network has no such population, field or synapses.
        """
        if isinstance(pack, WeightPack):
            both = self._weights(pack, where)
            return both, both
        group = self._group(pack.population, f"{where}.population")
        shape = (self._num_instances, group.ids.size)
        match pack:
            case CurrentPack():
                spec = ArraySpec(shape[1:], self._units.current)
                self._check_field(group, pack.population, CURRENT_FIELD, where)
                scale = self._units.scale
                return FieldInput(spec, pack.population, CURRENT_FIELD, scale), None
            case PoissonPack() | InjectPack():
                kind = PoissonInput if isinstance(pack, PoissonPack) else InjectInput
                timestep_ms = float(self._timestep_ns / 10**6)
                synapse = self._synapse(pack, where)
                return kind(where, pack.population, shape, synapse, timestep_ms), None
            case ParameterPack():
                spec = ArraySpec(shape[1:], pack.unit)
                self._check_field(group, pack.population, pack.field, f"{where}.field")
                settable = pack.field in self._settable[pack.population]
                writes = FieldInput(spec, pack.population, pack.field) if settable else None
                return writes, FieldOutput(spec, pack.population, pack.field)
            case VoltagePack():
                self._check_field(group, pack.population, VOLTAGE_FIELD, where)
                spec = ArraySpec(shape[1:], "mV")
                return None, FieldOutput(spec, pack.population, VOLTAGE_FIELD)
            case SpikesPack():
                return None, CountOutput(pack.population, shape)
            case RatePack():
                return None, RateOutput(pack.population, shape, pack.tau / 10**9)

    def _group(self, population: str, where: str) -> Group:
        if population not in self._groups:
            raise unknown("population", population, self._groups, where)
        return self._groups[population]

    def _check_field(self, group: Group, population: str, field: str, where: str) -> None:
        status = self._kernel.status(self._kernel.nodes(group.ids.ravel()[:1]))
        numbers = [name for name, value in status.items() if isinstance(value, float)]
        if field not in numbers:
            raise unknown(f"parameter of '{population}'", field, numbers, where)

    def _synapse(self, pack: PoissonPack | InjectPack, where: str) -> dict[str, Any]:
        if pack.delay < self._timestep_ns:
            raise UserError(f"{where}.delay: it is shorter than the engine's timestep.")
        receptor = {"receptor_type": pack.receptor} if pack.receptor else {}
        weight = pack.weight * self._units.scale
        return {"weight": weight, "delay": pack.delay / 10**6, **receptor}

    def _weights(self, pack: WeightPack, where: str) -> SynapseWeights:
        source = self._group(pack.source, f"{where}.source")
        target = self._group(pack.target, f"{where}.target")
        synapses = self._kernel.synapses(source.ids.ravel(), target.ids.ravel())
        count = len(self._kernel.get_weights(synapses))
        if not count:
            message = f"{where}: there is no synapse from '{pack.source}' to '{pack.target}'."
            raise UserError(message)
        shape = (self._num_instances, count)
        return SynapseWeights(where, shape, pack.source, pack.target, self._units.scale)


def bind(
    settings: BrainSettings,
    where: str,
    num_instances: int,
    kernel: Kernel,
    groups: Groups,
    settable: Mapping[str, tuple[str, ...]],
    units: Units,
) -> tuple[dict[str, Input], dict[str, Output]]:
    """Return the packs to write and those to read, by name.

    Raises:
        UserError: if the network has no such population, field or synapses.
    """
    packs: Mapping[str, BrainPack] = settings.packs or {
        f"{population}_spikes": SpikesPack(kind="spikes", population=population)
        for population, group in groups.items()
        if kernel.status(kernel.nodes(group.ids.ravel()[:1]))["element_type"] == "neuron"
    }
    binder = Binder(num_instances, settings.timestep, kernel, groups, settable, units)
    inputs: dict[str, Input] = {}
    outputs: dict[str, Output] = {}
    for name, pack in packs.items():
        written, read = binder.bind(name, pack, f"{where}.packs.{name}")
        if written is not None:
            inputs[name] = written
        if read is not None:
            outputs[name] = read
    return inputs, outputs
