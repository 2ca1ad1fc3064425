"""The brain of `vehicle` as a NEST server takes it: a server imports whole modules only."""

import typing


def network(
    nest: typing.Any,
    *,
    crossed: bool = False,
    num_neurons: int = 10,
    motor_current_pa: float = 600.0,
    inhibition_pa: float = -60.0,
) -> dict[str, typing.Any]:
    """Build one copy.

    Args:
        nest: the simulator.
        crossed: whether each eye is wired to the motor of the other side.
        num_neurons: of each of the four populations.
        motor_current_pa: that drives the motors when it is dark.
        inhibition_pa: weight of each synapse from an eye to a motor.
    """
    populations = {
        f"{side}_{organ}": nest.Create("iaf_psc_alpha", num_neurons)
        for organ in ("eye", "motor")
        for side in ("left", "right")
    }
    for side, other in (("left", "right"), ("right", "left")):
        motor = populations[f"{other if crossed else side}_motor"]
        motor.I_e = motor_current_pa
        synapse = {"weight": inhibition_pa, "delay": 1.0}
        nest.Connect(populations[f"{side}_eye"], motor, syn_spec=synapse)
    return populations
