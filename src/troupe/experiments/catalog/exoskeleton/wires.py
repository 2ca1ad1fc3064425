"""What joins the leg, the gait, the person and the exoskeleton."""

import numpy as np

from troupe.loop import From, To, transceiver

HIP_STIFFNESS_N_M_PER_RAD = 1500.0
HIP_DAMPING_N_M_S_PER_RAD = 80.0


@transceiver
def drive_hip(
    angle: From("leg.hip_angle", unit="rad"),
    velocity: From("leg.hip_velocity", unit="rad/s"),
    target: From("gait.hip_angle", unit="rad"),
    target_velocity: From("gait.hip_velocity", unit="rad/s"),
) -> To("leg.hip_torque", unit="N m"):
    """Hold the hip to the gait; it is strong."""
    torque = HIP_STIFFNESS_N_M_PER_RAD * (target - angle)
    return torque + HIP_DAMPING_N_M_S_PER_RAD * (target_velocity - velocity)


@transceiver
def feel(
    angle: From("leg.knee_angle", unit="rad"), velocity: From("leg.knee_velocity", unit="rad/s")
) -> tuple[
    To("person.angle", unit="rad"),
    To("person.velocity", unit="rad/s"),
    To("exoskeleton.angle", unit="rad"),
    To("exoskeleton.velocity", unit="rad/s"),
]:
    """Let the person and the exoskeleton know the knee's state."""
    return angle, velocity, angle, velocity


@transceiver
def intend(
    angle: From("gait.knee_angle", unit="rad"), velocity: From("gait.knee_velocity", unit="rad/s")
) -> tuple[
    To("person.target", unit="rad"),
    To("person.target_velocity", unit="rad/s"),
    To("exoskeleton.target", unit="rad"),
    To("exoskeleton.target_velocity", unit="rad/s"),
]:
    """Give the person and the exoskeleton the same gait to follow."""
    return angle, velocity, angle, velocity


@transceiver
def push(
    person: From("person.torque", unit="N m"), exoskeleton: From("exoskeleton.torque", unit="N m")
) -> To("leg.knee_torque", unit="N m"):
    """Put both torques on the knee."""
    return np.column_stack([person, exoskeleton])
