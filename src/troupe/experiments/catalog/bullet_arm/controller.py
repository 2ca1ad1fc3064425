"""A controller that computes the torques of an arm of two links from its equations of motion."""

import numpy as np
import numpy.typing as npt

from troupe.engines.script import Script, pack

Array = npt.NDArray[np.float64]

MASS_KG = 1.0
LENGTH_M = 0.4
GRAVITY_M_PER_S2 = 9.81


class Controller(Script):
    """Makes two joints follow sines: by the arm's dynamics, or by feedback alone."""

    inputs = {"position": pack(2, unit="rad"), "velocity": pack(2, unit="rad/s")}
    outputs = {
        "torque": pack(2, unit="N m", low=-40.0, high=40.0),
        "target": pack(2, unit="rad"),
    }
    state = ()

    def setup(
        self,
        knows_arm: bool = True,
        amplitude_rad: float = 0.6,
        frequency_hz: float = 0.5,
        stiffness_per_s2: float = 100.0,
        damping_per_s: float = 20.0,
    ) -> None:
        """Prepare.

        Args:
            knows_arm: whether torques follow from inertia, Coriolis forces and weight of the arm;
                else from the feedback and its mean inertia only.
            amplitude_rad: of the sines.
            frequency_hz: of the upper joint's sine; the lower one's is twice that.
            stiffness_per_s2: acceleration for each rad of error.
            damping_per_s: acceleration for each rad/s of error.
        """
        self.knows_arm = knows_arm
        self.amplitude_rad = amplitude_rad
        self.omega = 2 * np.pi * frequency_hz * np.array([1.0, 2.0])
        self.gains = stiffness_per_s2, damping_per_s

    def step(self, duration_ns: int) -> None:
        """Compute the torques for the arm's present state."""
        # for the end of this step, when the torques reach the arm
        phase = self.omega * (self.time_ns[:, None] + duration_ns) * 1e-9
        target = self.amplitude_rad * np.sin(phase)
        speed = self.amplitude_rad * self.omega * np.cos(phase)
        stiffness, damping = self.gains
        wanted = stiffness * (target - self.position) + damping * (speed - self.velocity)
        if self.knows_arm:
            wanted -= self.omega**2 * target
            torque = inverse_dynamics(self.position, self.velocity, wanted)
        else:
            torque = wanted * np.diag(inertia(np.zeros((1, 2)))[0])
        self.target = target
        self.torque = np.clip(torque, -40.0, 40.0)


def inertia(q: Array) -> Array:
    """Return the joints' inertia matrix of two equal rods, (N, 2, 2), kg m²."""
    scale, cosine = MASS_KG * LENGTH_M**2, np.cos(q[:, 1])
    both = scale * (1 / 3 + cosine / 2)
    upper, lower = scale * (5 / 3 + cosine), np.full(len(q), scale / 3)
    return np.stack([np.column_stack([upper, both]), np.column_stack([both, lower])], axis=1)


def inverse_dynamics(q: Array, qd: Array, qdd: Array) -> Array:
    """Return the torques that accelerate two equal rods, (N, 2), N m.

    Args:
        q: joint positions, (N, 2), rad, 0 for hanging.
        qd: joint velocities, (N, 2), rad/s.
        qdd: wanted accelerations, (N, 2), rad/s².
    """
    centrifugal = MASS_KG * LENGTH_M**2 / 2 * np.sin(q[:, 1])
    bias = [-centrifugal * (2 * qd[:, 0] + qd[:, 1]) * qd[:, 1], centrifugal * qd[:, 0] ** 2]
    weight = MASS_KG * GRAVITY_M_PER_S2 * LENGTH_M / 2
    lower = weight * np.sin(q.sum(axis=1))
    gravity = [3 * weight * np.sin(q[:, 0]) + lower, lower]
    forces = np.column_stack(bias) + np.column_stack(gravity)
    torque: Array = np.einsum("nij,nj->ni", inertia(q), qdd) + forces
    return torque
