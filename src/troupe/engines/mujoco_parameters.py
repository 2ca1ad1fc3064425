"""Parameters of a MuJoCo model as datapacks, where one number stands for several fields.

A position servo's force is gain · target + bias₁ · position + bias₂ · velocity, with bias₁ = −gain.
A body's inertia is in proportion to its mass.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import mujoco
import numpy as np
import numpy.typing as npt
from mujoco.batch import Batch

from troupe.core.arrays import Array, ArraySpec
from troupe.engines.mujoco_pack import Follow, Pack, Rows
from troupe.engines.mujoco_settings import SERVO_FIELDS
from troupe.robots import Robot

FIELD_BOUNDS = {
    "ambient": (0.0, np.inf),
    "armature": (0.0, np.inf),
    "damping": (0.0, np.inf),
    "diffuse": (0.0, np.inf),
    "fovy": (1.0, 179.0),
    "friction": (0.0, np.inf),
    "frictionloss": (0.0, np.inf),
    "mass": (0.0, np.inf),
    "rgba": (0.0, 1.0),
    "stiffness": (0.0, np.inf),
}
"""Bounds of model fields for which MuJoCo has no others than these."""


def robot_parameters(batch: Batch, robot: Robot) -> dict[str, Pack]:
    """Return the parameters that every robot offers, (dof,) each.

    ``joint_damping``, ``link_mass`` (of the body that each joint moves) and, where position servos
    drive the joints, ``servo_stiffness`` and ``servo_damping``.
    """
    model, names = batch.model, robot.joint_names
    joints = [model.joint(name) for name in names]
    first, last = int(joints[0].dofadr[0]), int(joints[-1].dofadr[0])
    bodies = [int(model.jnt_bodyid[joint.id]) for joint in joints]
    damping = batch.expand("dof_damping")[:, first : last + 1]
    masses = [batch.expand("body_mass")[:, body] for body in bodies]
    spec, kg = (
        ArraySpec((len(names),), u, np.asarray(0.0), names=names) for u in ("N m s/rad", "kg")
    )
    packs = {
        "joint_damping": Pack(spec, [damping], True, True),
        "link_mass": Pack(kg, masses, True, True, inertia_follows(batch, masses, bodies)),
    }
    actuators = [model.actuator(name).id for name in names]
    return packs | (servo_packs(batch, actuators, names) if are_servos(model, actuators) else {})


def inertia_follows(
    batch: Batch, masses: Sequence[npt.NDArray[Any]], bodies: Sequence[int]
) -> Follow:
    """Return what scales inertias with their masses: a body gets denser, not of another shape.

    Args:
        batch: of the simulations.
        masses: parts of a pack, together one number for each body.
        bodies: their ids in the model.
    """
    inertia = batch.expand("body_inertia")

    def follow(rows: Rows, before: Array) -> None:
        former = before.reshape(len(before), len(bodies))
        now = np.concatenate([part[rows].reshape(len(before), -1) for part in masses], axis=1)
        factors = np.where(former > 0, now / np.where(former > 0, former, 1.0), 1.0)
        for column, body in enumerate(bodies):
            inertia[rows, body] = inertia[rows, body] * factors[:, column, None]

    return follow


def are_servos(model: mujoco.MjModel, actuators: Sequence[int]) -> bool:
    """Return whether all of these actuators are position servos."""
    gain, bias = model.actuator_gainprm[actuators], model.actuator_biasprm[actuators]
    is_affine = model.actuator_biastype[actuators] == int(mujoco.mjtBias.mjBIAS_AFFINE)
    return bool(np.all(is_affine & (gain[:, 0] > 0) & (gain[:, 0] == -bias[:, 1])))


def servo_packs(
    batch: Batch, actuators: Sequence[int], names: Sequence[str] = ()
) -> dict[str, Pack]:
    """Return ``servo_stiffness`` and ``servo_damping`` of position servos, (k,) each."""
    ids = np.asarray(actuators)
    gain, bias = batch.expand("actuator_gainprm"), batch.expand("actuator_biasprm")
    damping = -bias[:, ids, 2]

    def stiffen(rows: Rows, before: Array) -> None:
        for i in ids:
            bias[rows, i, 1] = -gain[rows, i, 0]

    def damp(rows: Rows, before: Array) -> None:
        for column, i in enumerate(ids):
            bias[rows, i, 2] = -damping[rows, column]

    columns = [gain[:, i, 0] for i in ids]
    columns = columns if len(columns) > 1 else [columns[0][:, None]]
    stiffness_spec, damping_spec = (
        ArraySpec((len(ids),), unit, low=np.asarray(0.0), names=tuple(names))
        for unit in SERVO_FIELDS.values()
    )
    return {
        "servo_stiffness": Pack(stiffness_spec, columns, True, True, stiffen),
        "servo_damping": Pack(damping_spec, [damping], True, True, damp),
    }
