"""What the tests of grasping share."""

from collections.abc import Callable
from typing import Any

import numpy as np

from troupe.experiments.simulation import Simulation


def run_episode(
    simulation: Simulation, choose: Callable[[Simulation], np.ndarray[Any, Any]]
) -> dict[str, np.ndarray[Any, Any]]:
    """One episode of each instance; its metrics, length and sum of rewards at its end."""
    n = simulation.num_instances
    running, found, total = np.ones(n, bool), {}, np.zeros(n)
    action = np.zeros((n, *simulation.action_spec.shape))
    while running.any():
        if simulation.task.decides(simulation.world).any():
            action = choose(simulation)
        step = simulation.step(action)
        total[running] += step.reward[running]
        ended = np.flatnonzero(running & (step.terminated | step.truncated))
        figures = {**simulation.metrics(), "length": simulation.episode_step, "return": total}
        for name, values in figures.items():
            found.setdefault(name, np.zeros(n))[ended] = values[ended]
        running[ended] = False
    return found
