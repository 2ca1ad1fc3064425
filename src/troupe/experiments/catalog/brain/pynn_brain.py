"""The brain of `vehicle` in PyNN, with currents and weights in nA."""

from typing import Any

# NEST's own defaults of iaf_psc_alpha; PyNN has others
NEURON = {
    "v_rest": -70.0,
    "v_reset": -70.0,
    "v_thresh": -55.0,
    "tau_m": 10.0,
    "cm": 0.25,
    "tau_refrac": 2.0,
    "tau_syn_E": 2.0,
    "tau_syn_I": 2.0,
}


def network(
    sim: Any,
    *,
    crossed: bool = False,
    num_neurons: int = 10,
    motor_current_na: float = 0.6,
    inhibition_na: float = -0.06,
) -> dict[str, Any]:
    """Build one copy.

    Args:
        sim: PyNN's simulator.
        crossed: whether each eye is wired to the motor of the other side.
        num_neurons: of each of the four populations.
        motor_current_na: that drives the motors when it is dark.
        inhibition_na: weight of each synapse from an eye to a motor.
    """
    currents = {"eye": 0.0, "motor": motor_current_na}
    populations = {
        f"{side}_{organ}": sim.Population(
            num_neurons,
            sim.IF_curr_alpha(**NEURON, i_offset=current),
            initial_values={"v": NEURON["v_rest"]},
        )
        for organ, current in currents.items()
        for side in ("left", "right")
    }
    for side, other in (("left", "right"), ("right", "left")):
        sim.Projection(
            populations[f"{side}_eye"],
            populations[f"{other if crossed else side}_motor"],
            sim.AllToAllConnector(),
            sim.StaticSynapse(weight=inhibition_na, delay=1.0),
            receptor_type="inhibitory",
        )
    return populations
