"""A brain that pushes a car where it goes: four senses, and two populations that compete."""

from typing import Any

SENSES = ("going_left", "going_right", "on_left", "on_right")


def network(
    nest: Any,
    *,
    num_neurons: int = 10,
    excitation_pa: float = 100.0,
    position_share: float = 0.25,
    inhibition_pa: float = -100.0,
    restlessness_pa: float = 300.0,
) -> dict[str, Any]:
    """Build one copy.

    Args:
        nest: the simulator.
        num_neurons: of each of the six populations.
        excitation_pa: weight of each synapse from a sense of motion to the push that way.
        position_share: weight of those from a sense of place to the push back, as a share of it.
        inhibition_pa: weight of each synapse between the two that push.
        restlessness_pa: current into the two that push, too weak to make them fire by itself.
    """
    populations = {name: nest.Create("iaf_psc_alpha", num_neurons) for name in SENSES}
    for side in ("left", "right"):
        current = {"I_e": restlessness_pa}
        populations[f"push_{side}"] = nest.Create("iaf_psc_alpha", num_neurons, current)

    def connect(source: str, target: str, weight_pa: float) -> None:
        synapse = {"weight": weight_pa, "delay": 1.0}
        nest.Connect(populations[source], populations[target], syn_spec=synapse)

    for side, other in (("left", "right"), ("right", "left")):
        connect(f"going_{side}", f"push_{side}", excitation_pa)
        connect(f"on_{other}", f"push_{side}", position_share * excitation_pa)
        connect(f"push_{other}", f"push_{side}", inhibition_pa)
    return populations
