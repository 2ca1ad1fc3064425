"""What a user writes about the datapacks of a spiking network; importable without a simulator."""

from __future__ import annotations

from typing import Annotated, Literal

from pydantic import Field, StringConstraints

from troupe.core.settings import Duration, Settings, nanoseconds

Name = Annotated[str, StringConstraints(min_length=1)]

MILLISECOND_NS = 10**6


class CurrentPack(Settings):
    """To write: a current into each neuron, in addition to what the network's file gave it.

    It holds until it is written again and acts from the next inner step on.

    Attributes:
        population: a name that the network's function returns.
    """

    kind: Literal["current"]
    population: Name


class SynapsePack(Settings):
    """What all packs that send spikes to neurons have.

    Attributes:
        population: a name that the network's function returns.
        weight: of the synapse; pA (PyNN: nA), or a conductance, as the neuron takes it.
        delay: of the synapse.
        receptor: NEST's receptor type, for neurons with several.
    """

    population: Name
    weight: float = 1.0
    delay: Duration = nanoseconds(MILLISECOND_NS)
    receptor: int = 0


class PoissonPack(SynapsePack):
    """To write: the rate (Hz) of Poisson spikes that each neuron receives.

    The spikes are Troupe's own: they follow from the instance's seed alone, not from how many
    copies or threads there are.
    """

    kind: Literal["poisson"]


class InjectPack(SynapsePack):
    """To write: how many spikes each neuron receives, sent in the next inner step, once."""

    kind: Literal["inject"]


class ParameterPack(Settings):
    """To write and read: any number in the neurons' status, by NEST's name (``tau_m``, ``V_th``).

    Attributes:
        population: a name that the network's function returns.
        field: NEST's name of it.
        unit: of the values.
    """

    kind: Literal["parameter"]
    population: Name
    field: Name
    unit: str = ""


class WeightPack(Settings):
    """To write and read: the weights of the synapses from one population to another.

    They are ordered by source, then target.

    Attributes:
        source: the population that the synapses come from.
        target: the population that they go to.
    """

    kind: Literal["weight"]
    source: Name
    target: Name


class SpikesPack(Settings):
    """To read: how many spikes each neuron fired during the last advance.

    Attributes:
        population: a name that the network's function returns.
    """

    kind: Literal["spikes"]
    population: Name


class RatePack(Settings):
    """To read: each neuron's firing rate (Hz), its spikes filtered by a decaying exponential.

    Attributes:
        population: a name that the network's function returns.
        tau: time constant of the filter.
    """

    kind: Literal["rate"]
    population: Name
    tau: Duration = nanoseconds(100 * MILLISECOND_NS)


class VoltagePack(Settings):
    """To read: each neuron's membrane potential (mV) at the end of the advance.

    Attributes:
        population: a name that the network's function returns.
    """

    kind: Literal["voltage"]
    population: Name


BrainPack = Annotated[
    CurrentPack
    | PoissonPack
    | InjectPack
    | ParameterPack
    | WeightPack
    | SpikesPack
    | RatePack
    | VoltagePack,
    Field(discriminator="kind"),
]
