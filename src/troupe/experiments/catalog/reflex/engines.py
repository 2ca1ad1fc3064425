"""What acts on the reflex from outside: the fusimotor drive, and a load on the arm."""

from collections.abc import Sequence

import numpy as np

from troupe.core.arrays import Ids
from troupe.core.seeding import Generator
from troupe.engines.script import Script, pack


class Fusimotor(Script):
    """Holds how sensitive the muscle spindles are, until somebody writes other gains."""

    state = ()

    def setup(self, stretch_gain_hz_per_rad: float, velocity_gain_hz_s_per_rad: float) -> None:
        """Offer both gains to read and to write."""
        stretch = pack(unit="Hz/rad", low=0.0, initial=stretch_gain_hz_per_rad)
        velocity = pack(unit="Hz s/rad", low=0.0, initial=velocity_gain_hz_s_per_rad)
        self.inputs = self.outputs = {"stretch_gain": stretch, "velocity_gain": velocity}

    def step(self, duration_ns: int) -> None:
        """Keep the gains as they are."""


class Load(Script):
    """A pulse of torque; each episode has another one if it is random."""

    outputs = {"torque": pack(unit="N m")}
    state = ("amplitude_n_m", "onset_s")

    def setup(
        self, torque_n_m: float, onset_s: float, duration_s: float, random: bool = False
    ) -> None:
        """Prepare the same pulse in all instances."""
        self.duration_s, self.random = duration_s, random
        self.amplitude_n_m = np.full(self.num_instances, torque_n_m)
        self.onset_s = np.full(self.num_instances, onset_s)

    def reset(self, instances: Ids, rng: Sequence[Generator]) -> None:
        """Draw the sign, the size (half to whole) and the onset (up to 0.2 s later)."""
        if self.random:
            for i, r in zip(instances, rng, strict=True):
                self.amplitude_n_m[i] *= r.choice([-1.0, 1.0]) * r.uniform(0.5, 1.0)
                self.onset_s[i] += r.uniform(0.0, 0.2)

    def step(self, duration_ns: int) -> None:
        """Set the torque for the time that follows."""
        since_onset_s = (self.time_ns + duration_ns) * 1e-9 - self.onset_s
        is_on = (since_onset_s >= 0) & (since_onset_s < self.duration_s)
        self.torque = np.where(is_on, self.amplitude_n_m, 0.0)
