"""Random grasps of pybullet's Kuka before a tray of things, in one process, for some time.

cd benchmarks/peers/pybullet && .venv/bin/python collect.py --seconds 60 --seed 0

Pictures of the start and the end of each attempt are kept in memory: colours, depth and mask.
"""

import argparse
import json
import os
import random
import sys
import time
import warnings

# pybullet and its environments print to standard output, which is for the result alone
RESULT = os.fdopen(os.dup(sys.stdout.fileno()), "w")
os.dup2(sys.stderr.fileno(), sys.stdout.fileno())
warnings.filterwarnings("ignore", "pkg_resources is deprecated")

import numpy as np  # noqa: E402
import pybullet  # noqa: E402
from pybullet_envs.bullet.kuka_diverse_object_gym_env import KukaDiverseObjectEnv  # noqa: E402

NUM_THINGS = 5
MAX_ACTIONS = 20
"""So many that each attempt comes to the closing of the fingers; of 8, the default, some do not."""

SETTLE_STEPS, GRASP_STEPS, STEPS_PER_S = 500, 1000, 240
"""Of physics: for each thing that falls into the tray, and for closing and lifting."""


class PicturedEnv(KukaDiverseObjectEnv):
    """Takes pictures where an attempt begins and ends, and none between, which nobody looks at."""

    def __init__(self, size: int) -> None:
        super().__init__(maxSteps=MAX_ACTIONS, width=size, height=size, numObjects=NUM_THINGS)
        self.pictures: list[tuple[np.ndarray, np.ndarray, np.ndarray]] = []

    @property
    def simulated_s(self) -> float:
        """Of the present attempt, from the first thing's fall."""
        steps = NUM_THINGS * SETTLE_STEPS + self._env_step * self._actionRepeat
        return (steps + self._attempted_grasp * GRASP_STEPS) / STEPS_PER_S

    @property
    def has_closed(self) -> bool:
        """Whether the hand has come down to where it closes."""
        return self._attempted_grasp

    def _get_observation(self) -> np.ndarray:
        if self._env_step and not self._termination():
            return self.pictures[-1][0]
        _, _, colours, depth, mask = pybullet.getCameraImage(
            self._width, self._height, self._view_matrix, self._proj_matrix
        )
        shape = self._height, self._width
        picture = np.reshape(colours, (*shape, 4))[:, :, :3].astype(np.uint8)
        self.pictures.append((picture, np.reshape(depth, shape), np.reshape(mask, shape)))
        return picture


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--seconds", type=float, default=60.0)
    parser.add_argument("--seed", type=int, default=0)
    parser.add_argument("--size", type=int, default=64, help="of the pictures, pixels")
    args = parser.parse_args()
    env = PicturedEnv(args.size)
    # the environment draws from the generators of both modules
    random.seed(args.seed)
    np.random.seed(args.seed)  # noqa: NPY002
    env.action_space.seed(args.seed)

    env.reset()  # the first one also reads the files of robot and tray
    env.pictures.clear()
    attempts, successes, closed, simulated_s = 0, 0, 0, 0.0
    began, cpu_began = time.perf_counter(), time.process_time()
    while time.perf_counter() - began < args.seconds:
        env.reset()
        done, reward = False, 0
        while not done:
            _, reward, done, _ = env.step(env.action_space.sample())
        attempts += 1
        successes += reward
        closed += env.has_closed
        simulated_s += env.simulated_s
    wall_s = time.perf_counter() - began

    assert len(env.pictures) == 2 * attempts
    result = {
        "attempts": attempts,
        "wall_s": wall_s,
        "cpu_s": time.process_time() - cpu_began,
        "attempts_per_hour": 3600 * attempts / wall_s,
        "success_rate": successes / attempts,
        "closed_share": closed / attempts,
        "simulated_s_per_attempt": simulated_s / attempts,
    }
    print(json.dumps(result), file=RESULT, flush=True)


if __name__ == "__main__":
    main()
