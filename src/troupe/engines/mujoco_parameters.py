"""Parameters of a MuJoCo model as datapacks, where one number stands for several fields.

A position servo's force is gain · target + bias₁ · position + bias₂ · velocity, with bias₁ = −gain.
A body's inertia is in proportion to its mass.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace

import mujoco
import numpy as np
from mujoco.batch import Batch

from troupe.core.arrays import Array, ArraySpec
from troupe.engines.mujoco_pack import Pack, Rows
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
        "link_mass": inertia_follows(Pack(kg, masses, True, True), batch, bodies),
    }
    actuators = [model.actuator(name).id for name in names]
    return packs | (servo_packs(batch, actuators, names) if are_servos(model, actuators) else {})


def inertia_follows(pack: Pack, batch: Batch, bodies: Sequence[int]) -> Pack:
    """Return a pack of masses that scales inertias with them: a body gets denser, of one shape.

    What it keeps is the inertia per unit mass, m2, so that nothing adds up over many writes and
    a mass may come back from 0. It is found anew where an inertia was written in between.

    Args:
        pack: one mass for each body.
        batch: of the simulations.
        bodies: their ids in the model.
    """
    inertia, model = batch.expand("body_inertia"), batch.model
    nominal = _per_kg(model.body_inertia[bodies], model.body_mass[bodies])
    memory = np.tile(nominal, (len(inertia), 1, 1))

    def masses(rows: Rows) -> Array:
        return pack.read()[rows].reshape(-1, len(bodies))

    def follow(rows: Rows, before: Array) -> None:
        former, now = before.reshape(-1, len(bodies)), masses(rows)
        present, kept = inertia[rows][:, bodies], memory[rows]
        is_other = (former > 0) & (kept * former[..., None] != present).any(axis=-1)
        kept = np.where(is_other[..., None], _per_kg(present, former), kept)
        memory[rows] = kept
        # a body that has had no mass yet has no shape either
        changes = (now != former) & kept.any(axis=-1)
        values = np.where(changes[..., None], kept * now[..., None], present)
        for column, body in enumerate(bodies):
            inertia[rows, body] = values[:, column]

    return replace(pack, follow=follow, memory=memory)


def _per_kg(inertia: Array, mass: Array) -> Array:
    """Return inertias (..., 3) per unit mass, 0 where there is none."""
    per_kg: Array = inertia / np.where(mass > 0, mass, np.inf)[..., None]
    return per_kg


def are_servos(model: mujoco.MjModel, actuators: Sequence[int]) -> bool:
    """Return whether all of these actuators are position servos."""
    gain, bias = model.actuator_gainprm[actuators], model.actuator_biasprm[actuators]
    is_affine = model.actuator_biastype[actuators] == int(mujoco.mjtBias.mjBIAS_AFFINE)
    return bool(np.all(is_affine & (gain[:, 0] > 0) & (gain[:, 0] == -bias[:, 1])))


def servo_packs(
    batch: Batch, actuators: Sequence[int], names: Sequence[str] = ()
) -> dict[str, Pack]:
    """Return ``servo_stiffness`` and ``servo_damping`` of position servos, (k,) each."""
    gain, bias = batch.expand("actuator_gainprm"), batch.expand("actuator_biasprm")

    def stiffen(rows: Rows, before: Array) -> None:
        for i in actuators:
            bias[rows, i, 1] = -gain[rows, i, 0]

    stiffness_spec, damping_spec = (
        ArraySpec((len(actuators),), unit, low=np.asarray(0.0), names=tuple(names))
        for unit in SERVO_FIELDS.values()
    )
    stiffness = _columns(gain[..., 0], actuators)
    damping = _columns(bias[..., 2], actuators)
    return {
        "servo_stiffness": Pack(stiffness_spec, stiffness, True, True, stiffen),
        "servo_damping": Pack(damping_spec, damping, True, True, is_negated=True),
    }


def _columns(values: Array, ids: Sequence[int]) -> list[Array]:
    """Return live parts of a pack, one for each object."""
    return [values[:, i] for i in ids] if len(ids) > 1 else [values[:, ids[0]][:, None]]
