"""Devices between a NEST network and the rest: they stimulate it or sum its spikes up.

Weights, delays and neuron parameters are those that NRP-core's experiments are tuned to.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from troupe_nrp.engines.nest_json import RegisterDataPack

INPUT_SYNAPSE = {"synapse_model": "static_synapse", "weight": 0.15, "delay": 0.1}
INTEGRATOR_WEIGHT = 10.0

# a neuron that never spikes: its membrane sums the spikes up and forgets
_SILENT = {"V_th": 1e10, "C_m": 1000.0, "E_L": 0.0, "V_reset": 0.0, "t_ref": 0.1, "I_e": 0.0}
_ALPHA = {**_SILENT, "tau_m": 10.0, "tau_syn_ex": 2.0, "tau_syn_in": 2.0}
_EXPONENTIAL = {**_SILENT, "tau_m": 20.0, "tau_syn_ex": 0.5, "tau_syn_in": 0.5}


def PoissonSpikeGenerator(  # noqa: N802 - NRP-core's name
    nest: Any, name: str, neurons: Any, n: int = 1, conn_spec: Any = "all_to_all"
) -> Any:
    """Stimulate neurons with Poisson spikes of the pack's ``rate`` (1/s)."""
    generators = nest.Create("poisson_generator", n)
    nest.Connect(generators, neurons, conn_spec=conn_spec, syn_spec=INPUT_SYNAPSE)
    return RegisterDataPack(name, generators)


def DCSource(  # noqa: N802 - NRP-core's name
    nest: Any, name: str, neurons: Any, n: int = 1, conn_spec: Any = "all_to_all"
) -> Any:
    """Stimulate neurons with a current of the pack's ``amplitude`` (pA)."""
    sources = nest.Create("dc_generator", n)
    nest.Connect(sources, neurons, conn_spec=conn_spec)
    return RegisterDataPack(name, sources)


def LeakyIntegrator(  # noqa: N802 - NRP-core's name
    nest: Any,
    name: str,
    neurons: Any,
    n: int,
    n_type: str,
    leaky_params: Mapping[str, float],
    conn_spec: Any,
    delay: Any,
) -> Any:
    """Sum the spikes of neurons up in the pack's ``V_m`` (mV), which decays."""
    cells = nest.Create(n_type, n, {**leaky_params, "V_m": leaky_params["E_L"]})
    synapse = {"synapse_model": "static_synapse", "weight": INTEGRATOR_WEIGHT, "delay": delay}
    nest.Connect(neurons, cells, conn_spec=conn_spec, syn_spec=synapse)
    return RegisterDataPack(name, cells)


def LeakyIntegratorAlpha(  # noqa: N802 - NRP-core's name
    nest: Any, name: str, neurons: Any, n: int = 1, conn_spec: Any = "all_to_all"
) -> Any:
    """Sum spikes up with alpha-shaped currents."""
    return LeakyIntegrator(nest, name, neurons, n, "iaf_psc_alpha", _ALPHA, conn_spec, 0.1)


def LeakyIntegratorExp(  # noqa: N802 - NRP-core's name
    nest: Any, name: str, neurons: Any, n: int = 1, conn_spec: Any = "all_to_all"
) -> Any:
    """Sum spikes up with exponential currents, after delays of 0.1 to 2 ms."""
    delay = nest.random.uniform(min=0.1, max=2.0)
    return LeakyIntegrator(nest, name, neurons, n, "iaf_psc_exp", _EXPONENTIAL, conn_spec, delay)
