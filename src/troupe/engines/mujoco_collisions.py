"""Whether a robot would touch anything, for many joint positions at once."""

from __future__ import annotations

from collections.abc import Sequence

import mujoco
import numpy as np
import numpy.typing as npt
from mujoco.batch import Batch

from troupe.core.arrays import Array
from troupe.core.errors import unknown
from troupe.robots import Robot

BLOCK = 64
"""Poses that are checked together."""


class CollisionChecker:
    """Checks a robot in one instance's world, as that stands when the checker is made.

    Everything else, the gripper's fingers too, stays where it is. Pairs that the model excludes,
    and neighbouring links, do not count; nor does what touches without the robot.
    """

    def __init__(
        self,
        model: mujoco.MjModel,
        qpos: Array,
        robot: Robot,
        *,
        clearance_m: float = 0.0,
        ignore: Sequence[str] = (),
        num_threads: int = 1,
    ) -> None:
        """Take a world.

        Args:
            model: of the instance; it is the checker's from now on.
            qpos: of the instance, (nq,).
            robot: whose joints are varied.
            clearance_m: how near the robot may come to other things.
            ignore: names of bodies that do not count, such as what is in the hand.
            num_threads: native threads to check on, 0 for one a core.

        Raises:
            UserError: if there is no such body.
        """
        bodies = {model.body(i).name: i for i in range(model.nbody)}
        for name in ignore:
            if name not in bodies:
                raise unknown("body", name, filter(None, bodies), "ignore")
        first = int(model.body_rootid[model.site_bodyid[model.site("tool").id]])
        self._is_robot = is_robot = model.body_rootid[model.geom_bodyid] == first
        collides = (model.geom_contype | model.geom_conaffinity) != 0
        collides &= ~np.isin(model.geom_bodyid, [bodies[name] for name in ignore])
        # so no pair is left without the robot, and any contact tells
        model.geom_contype[:] = is_robot & collides
        model.geom_conaffinity[:] = collides
        model.geom_margin[:] = np.where(is_robot, 0.0, clearance_m)
        # by which MuJoCo looks for pairs at all
        model.body_margin[:] = 0.0
        np.maximum.at(model.body_margin, model.geom_bodyid, model.geom_margin)
        self._model = model
        address = int(model.joint(robot.joint_names[0]).qposadr[0])
        self._joints = slice(address, address + len(robot.joints))
        self._batch = Batch(model, BLOCK, num_threads, persistent=True)
        self._batch.bind("qpos")[:] = qpos
        self._data = mujoco.MjData(model)
        self._data.qpos[:] = qpos

    def __call__(self, joint_position: Array) -> npt.NDArray[np.bool_]:
        """Return which joint positions touch nothing, (K,).

        Args:
            joint_position: (K, dof), rad.
        """
        free = np.empty(len(joint_position), np.bool_)
        qpos, count = self._batch.bind("qpos"), self._batch.bind("ncon")
        for begin in range(0, len(joint_position), BLOCK):
            block = joint_position[begin : begin + BLOCK]
            ids = np.arange(len(block))
            qpos[ids, self._joints] = block
            self._batch.forward(ids, mujoco.mjtStage.mjSTAGE_POS)
            free[begin : begin + BLOCK] = count[ids] == 0
        return free

    def touching(self, joint_position: Array) -> list[tuple[str, str, float]]:
        """Return what of the robot touches what, by name, and distances, m, the least first.

        Args:
            joint_position: (dof,), rad.
        """
        self._data.qpos[self._joints] = joint_position
        mujoco.mj_kinematics(self._model, self._data)
        mujoco.mj_collision(self._model, self._data)
        pairs = []
        for contact in self._data.contact:
            one, other = sorted(contact.geom.tolist(), key=lambda geom: not self._is_robot[geom])
            pairs.append((self._name(one), self._name(other), float(contact.dist)))
        return sorted(pairs, key=lambda pair: pair[2])

    def _name(self, geom: int) -> str:
        """Return the name of a geom, or of its body."""
        name = self._model.geom(geom).name
        return name or f"a geom of {self._model.body(self._model.geom_bodyid[geom]).name}"
