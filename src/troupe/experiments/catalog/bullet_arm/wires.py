"""What joins the arm and its controller."""

from troupe.loop import From, To, transceiver


@transceiver
def feel(
    position: From("arm.joint_position", unit="rad"),
    velocity: From("arm.joint_velocity", unit="rad/s"),
) -> tuple[To("controller.position", unit="rad"), To("controller.velocity", unit="rad/s")]:
    """Show the controller the state of the joints."""
    return position, velocity


@transceiver
def move(torque: From("controller.torque", unit="N m")) -> To("arm.joint_torque", unit="N m"):
    """Give the controller's torques to the joints."""
    return torque
