"""``scara-reach`` as one would write it by hand for Gymnasium: one simulation, plain ``mj_step``.

The peers train on it too, so that they are not charged for what a single environment of Troupe
costs. Model, observation, action, reward and time limit are those of Troupe's environment; the
targets are drawn from the same workspace. It needs nothing but MuJoCo and Gymnasium.
"""

from __future__ import annotations

from pathlib import Path
from typing import Any

import gymnasium
import mujoco
import numpy as np
import numpy.typing as npt

Values = npt.NDArray[Any]

ID = "PlainScaraReach-v0"
MODEL = Path(__file__).resolve().parents[1] / "src/troupe/robots/scara/model.xml"
SUBSTEPS = 10
EPISODE_STEPS = 100
MAX_CHANGE_RAD = 0.2  # a step of 20 ms at 10 rad/s
JOINT_MARGIN_RAD = 0.1
CLEARANCE_M = 0.1
PRECISION_M = 0.03
LIMIT_COST = 2.0
FREE_RANGE = 0.75


class PlainScaraReach(gymnasium.Env[Values, Values]):
    """Bring the tool to a random target."""

    def __init__(self) -> None:
        self.model = mujoco.MjModel.from_xml_path(str(MODEL))
        self.data = mujoco.MjData(self.model)
        self._low, self._high = self.model.jnt_range.T.copy()
        self._middle, self._half_range = (self._high + self._low) / 2, (self._high - self._low) / 2
        self._tool = self.data.site("tool").xpos
        self._tool_velocity = self.data.sensor("tool_velocity").data
        self._base = self.model.body("base").pos[:2].copy()
        self.target = np.zeros(3)
        largest = np.finfo(np.float32).max
        self.observation_space = gymnasium.spaces.Box(-largest, largest, (15,), np.float32)
        self.action_space = gymnasium.spaces.Box(-1.0, 1.0, (3,), np.float32)

    def reset(
        self, *, seed: int | None = None, options: dict[str, Any] | None = None
    ) -> tuple[Values, dict[str, Any]]:
        super().reset(seed=seed)
        self.target = self._draw_target()
        mujoco.mj_resetDataKeyframe(self.model, self.data, 0)
        mujoco.mj_step1(self.model, self.data)
        return self._observation(), {}

    def step(self, action: Values) -> tuple[Values, float, bool, bool, dict[str, Any]]:
        change = np.minimum(np.maximum(action, -1.0), 1.0) * MAX_CHANGE_RAD
        ctrl = self.data.ctrl
        ctrl[:] = np.minimum(np.maximum(ctrl + change, self._low), self._high)
        # the first half of a step was done at the end of the last one, to observe its positions
        mujoco.mj_step2(self.model, self.data)
        mujoco.mj_step(self.model, self.data, SUBSTEPS - 1)
        mujoco.mj_step1(self.model, self.data)
        error = self.target - self._tool
        distance = float(np.sqrt(error @ error))
        reward = -distance + PRECISION_M / (distance + PRECISION_M) - 1.0
        share = np.abs(self.data.qpos - self._middle) / self._half_range
        reward -= LIMIT_COST * float(np.maximum(share - FREE_RANGE, 0.0).sum())
        return self._observation(), reward, False, False, {}

    def _observation(self) -> Values:
        data = self.data
        position = data.qpos
        parts = (position, self.target - self._tool, self._tool_velocity)
        return np.concatenate((*parts, data.ctrl - position, data.qvel), dtype=np.float32)

    def _draw_target(self) -> Values:
        low, high = self._low + JOINT_MARGIN_RAD, self._high - JOINT_MARGIN_RAD
        while True:
            self.data.qpos[:] = self.np_random.uniform(low, high)
            mujoco.mj_kinematics(self.model, self.data)
            if np.hypot(*(self._tool[:2] - self._base)) > CLEARANCE_M:
                return np.array(self._tool)


gymnasium.register(ID, f"{__name__}:PlainScaraReach", max_episode_steps=EPISODE_STEPS)
