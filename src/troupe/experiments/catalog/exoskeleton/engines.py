"""Who moves the leg: a gait to follow, a person with weak muscles, and an exoskeleton."""

from collections.abc import Sequence

import numpy as np
import numpy.typing as npt

from troupe.core.arrays import Ids
from troupe.core.seeding import Generator
from troupe.engines.script import Script, pack

Array = npt.NDArray[np.float64]

# typical normal gait: mean, then cosine and sine coefficients of the harmonics, degrees
HIP_DEG = (13.6, (20.5, -3.0, -0.6), (-2.4, -2.8, 1.2))
KNEE_DEG = (22.5, (1.7, -15.5, -2.5), (-18.6, 2.7, 4.5))


class Gait(Script):
    """Tells where hip and knee are to be; 0 % of the cycle is the heel's strike."""

    outputs = {
        "hip_angle": pack(unit="rad"),
        "hip_velocity": pack(unit="rad/s"),
        "knee_angle": pack(unit="rad"),
        "knee_velocity": pack(unit="rad/s"),
    }
    state = ()

    def setup(self, cycle_s: float = 1.0) -> None:
        """Take the duration of a stride."""
        self.cycle_s = cycle_s

    def reset(self, instances: Ids, rng: Sequence[Generator]) -> None:
        """Begin with the heel's strike."""
        self._show(0.0, instances)

    def step(self, duration_ns: int) -> None:
        """Go on along the cycle."""
        self._show((self.time_ns + duration_ns) * 1e-9, slice(None))

    def _show(self, time_s: float | Array, rows: Ids | slice) -> None:
        phase_rad = 2 * np.pi * np.asarray(time_s) / self.cycle_s
        for joint, series in (("hip", HIP_DEG), ("knee", KNEE_DEG)):
            angle_rad, per_rad = fourier(phase_rad, *series)
            getattr(self, f"{joint}_angle")[rows] = angle_rad
            getattr(self, f"{joint}_velocity")[rows] = per_rad * 2 * np.pi / self.cycle_s


class Person(Script):
    """A person who follows the gait with the knee as well as the muscles can."""

    inputs = {
        "angle": pack(unit="rad"),
        "velocity": pack(unit="rad/s"),
        "target": pack(unit="rad"),
        "target_velocity": pack(unit="rad/s"),
    }
    outputs = {"torque": pack(unit="N m")}
    state = ("strength_n_m",)

    def setup(
        self,
        strength_n_m: float,
        stiffness_n_m_per_rad: float,
        damping_n_m_s_per_rad: float,
        activation_s: float,
        spread: float = 0.0,
    ) -> None:
        """Take the greatest torque, the gains, the muscles' time constant, how persons differ."""
        self.strength_n_m = np.full(self.num_instances, strength_n_m)
        self.gains = stiffness_n_m_per_rad, damping_n_m_s_per_rad
        self.activation_s, self.spread = activation_s, spread

    def reset(self, instances: Ids, rng: Sequence[Generator]) -> None:
        """Draw how strong each person is, relative to the mean."""
        draws = [r.uniform(-self.spread, self.spread) for r in rng]
        self.strength_n_m[instances] *= 1.0 + np.array(draws)

    def step(self, duration_ns: int) -> None:
        """Push towards the target, within the strength."""
        stiffness, damping = self.gains
        wanted = stiffness * (self.target - self.angle)
        wanted += damping * (self.target_velocity - self.velocity)
        wanted = np.clip(wanted, -self.strength_n_m, self.strength_n_m)
        # muscles follow with a lag
        kept = np.exp(-duration_ns * 1e-9 / self.activation_s)
        self.torque = kept * self.torque + (1 - kept) * wanted


class Impedance(Script):
    """The exoskeleton's controller: a spring and a damper that move along with the gait."""

    inputs = {
        "angle": pack(unit="rad"),
        "velocity": pack(unit="rad/s"),
        "target": pack(unit="rad"),
        "target_velocity": pack(unit="rad/s"),
    }
    state = ()

    def setup(
        self,
        assistance: float,
        stiffness_n_m_per_rad: float,
        damping_n_m_s_per_rad: float,
        max_torque_n_m: float,
    ) -> None:
        """Take the impedance; how much of it counts is a pack, which a policy may set."""
        self.max_torque = max_torque_n_m
        self.impedance = stiffness_n_m_per_rad, damping_n_m_s_per_rad
        share = pack(low=0.0, high=1.0, initial=assistance)
        self.inputs = {**self.inputs, "assistance": share}
        self.outputs = {"torque": pack(unit="N m"), "assistance": share}

    def step(self, duration_ns: int) -> None:
        """Pull the knee towards the target."""
        stiffness, damping = self.impedance
        torque = stiffness * (self.target - self.angle)
        torque += damping * (self.target_velocity - self.velocity)
        self.torque = np.clip(self.assistance * torque, -self.max_torque, self.max_torque)


def fourier(
    phase_rad: Array, mean: float, cosines: Sequence[float], sines: Sequence[float]
) -> tuple[Array, Array]:
    """Return a Fourier series in degrees as an angle (rad) and its derivative by the phase."""
    angle_deg, slope_deg = np.full_like(phase_rad, mean), np.zeros_like(phase_rad)
    # term by term: a matrix product would round differently for other numbers of instances
    for harmonic, (a, b) in enumerate(zip(cosines, sines, strict=True), start=1):
        cos, sin = np.cos(harmonic * phase_rad), np.sin(harmonic * phase_rad)
        angle_deg += a * cos + b * sin
        slope_deg += harmonic * (b * cos - a * sin)
    return np.radians(angle_deg), np.radians(slope_deg)
