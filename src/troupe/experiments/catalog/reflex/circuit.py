"""The monosynaptic stretch reflex of two antagonists, with reciprocal inhibition."""

from typing import Any

import numpy as np


def network(
    nest: Any,
    *,
    num_afferents: int = 10,
    num_interneurons: int = 10,
    num_motor: int = 20,
    excitation_pa: float = 90.0,
    inhibition_pa: float = -80.0,
    tonic_flexor_pa: float = 285.0,
    tonic_extensor_pa: float = 215.0,
    tonic_interneuron_pa: float = 200.0,
) -> dict[str, Any]:
    """Build one copy.

    Args:
        nest: the simulator.
        num_afferents: Ia afferents of each muscle; they pass on the spikes that they are given.
        num_interneurons: Ia inhibitory interneurons on each side.
        num_motor: motor neurons of each muscle.
        excitation_pa: weight of each synapse from an afferent.
        inhibition_pa: weight of each synapse from an interneuron.
        tonic_flexor_pa: descending current into the flexor's motor neurons, which carries the arm.
        tonic_extensor_pa: descending current into the extensor's motor neurons.
        tonic_interneuron_pa: descending current into the interneurons.
    """
    excitation = {"weight": excitation_pa, "delay": 1.0}
    inhibition = {"weight": inhibition_pa, "delay": 1.0}
    sides = {"flexor": tonic_flexor_pa, "extensor": tonic_extensor_pa}
    populations = {}
    for muscle, tonic_pa in sides.items():
        populations[f"ia_{muscle}"] = nest.Create("parrot_neuron", num_afferents)
        populations[f"interneuron_{muscle}"] = nest.Create("iaf_psc_exp", num_interneurons)
        populations[f"motor_{muscle}"] = nest.Create("iaf_psc_exp", num_motor)
        # by their size: small motor neurons are recruited before large ones
        for pool in (f"interneuron_{muscle}", f"motor_{muscle}"):
            populations[pool].V_th = np.linspace(-60.0, -45.0, len(populations[pool])).tolist()
        populations[f"motor_{muscle}"].I_e = tonic_pa
        populations[f"interneuron_{muscle}"].I_e = tonic_interneuron_pa
    for muscle, antagonist in (("flexor", "extensor"), ("extensor", "flexor")):
        ia, interneuron = populations[f"ia_{muscle}"], populations[f"interneuron_{muscle}"]
        nest.Connect(ia, populations[f"motor_{muscle}"], syn_spec=excitation)
        nest.Connect(ia, interneuron, syn_spec=excitation)
        nest.Connect(interneuron, populations[f"motor_{antagonist}"], syn_spec=inhibition)
        nest.Connect(interneuron, populations[f"interneuron_{antagonist}"], syn_spec=inhibition)
    return populations
