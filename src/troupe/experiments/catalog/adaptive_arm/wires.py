"""What joins the arm and its controller, the poses it is to hold and the load it is given."""

import numpy as np
import numpy.typing as npt

from troupe.loop import From, InstanceTime, SimulationTime, To, transceiver

Array = npt.NDArray[np.float64]

CENTRE_RAD = np.array([0.3, 0.5, -0.6])
SWAY_RAD = np.array([0.4, -0.3, 0.3])
PERIOD_S = 5.0
LOADED_AT_NS = 10_000_000_000
LOAD_KG = 0.5


@transceiver
def feel(
    position: From("arm.position", unit="rad"), velocity: From("arm.velocity", unit="rad/s")
) -> tuple[To("controller.position"), To("controller.velocity")]:
    """Show the controller the state of the joints."""
    return position, velocity


@transceiver
def ask(t: InstanceTime) -> tuple[To("controller.target"), To("controller.target_velocity")]:
    """Ask for a pose that sways slowly."""
    pulse = 2 * np.pi / PERIOD_S
    phase = pulse * t[:, None] * 1e-9
    return CENTRE_RAD + SWAY_RAD * np.sin(phase), SWAY_RAD * pulse * np.cos(phase)


@transceiver
def move(torque: From("controller.torque")) -> To("arm.torque", unit="N m"):
    """Give the controller's torques to the joints, as far as their motors can."""
    return np.clip(torque, -10.0, 10.0)


@transceiver
def load(t: SimulationTime, carried: From("arm.load", unit="kg")) -> To("arm.load", unit="kg"):
    """Hang a load on the tool, once."""
    return np.full_like(carried, LOAD_KG) if t == LOADED_AT_NS else None
