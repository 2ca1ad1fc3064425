"""Datapacks of a MuJoCo model: fields of named objects as (num_instances, ...) arrays."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import replace
from typing import Any

import mujoco
import numpy as np
import numpy.typing as npt
from mujoco.batch import Batch

from troupe.core.arrays import ArraySpec
from troupe.core.errors import UserError, unknown
from troupe.engines.mujoco_pack import Pack
from troupe.engines.mujoco_parameters import FIELD_BOUNDS, are_servos, inertia_follows, servo_packs
from troupe.engines.mujoco_settings import SERVO_FIELDS, PackBinding
from troupe.robots import Robot

LOOKS = {("geom", "matid"): ("geom_matid", "nmat"), ("material", "texid"): ("mat_texid", "ntex")}
"""Fields that only say how things look, and what counts those that they number."""


def robot_packs(batch: Batch, robot: Robot) -> dict[str, Pack]:
    """Return the packs that every robot offers, in the base frame.

    ``joint_position``, ``joint_velocity``, ``joint_target`` (the position command),
    ``tool_position``, ``tool_rotation`` (a matrix), ``tool_velocity`` and ``contacts`` (their
    number); of a gripper ``gripper_position`` and ``gripper_target``, how far each finger is from
    the middle.
    """
    model = batch.model
    joints = [model.joint(name) for name in robot.joint_names]
    actuators = [model.actuator(name).id for name in robot.joint_names]
    site = model.site("tool").id
    velocity = model.sensor("tool_velocity").adr[0]
    low, high = robot.position_limits
    speed = robot.velocity_limits
    dof, names = (len(joints),), robot.joint_names

    def columns(field: str, first: int, last: int) -> list[npt.NDArray[Any]]:
        assert last - first == len(joints) - 1, "a robot's joints are consecutive"
        return [batch.bind(field)[:, first : last + 1]]

    qpos = columns("qpos", joints[0].qposadr[0], joints[-1].qposadr[0])
    qvel = columns("qvel", joints[0].dofadr[0], joints[-1].dofadr[0])
    ctrl = columns("ctrl", actuators[0], actuators[-1])
    position = ArraySpec(dof, "rad", low, high, names=names)
    return {
        "joint_position": Pack(position, qpos, writable=True),
        "joint_velocity": Pack(ArraySpec(dof, "rad/s", -speed, speed, names=names), qvel, True),
        "joint_target": Pack(position, ctrl, writable=True),
        "tool_position": Pack(ArraySpec((3,), "m"), [batch.bind("site_xpos")[:, site]], False),
        "tool_rotation": Pack(
            ArraySpec((3, 3)), [batch.bind("site_xmat")[:, site].reshape(-1, 3, 3)], False
        ),
        "tool_velocity": Pack(
            ArraySpec((3,), "m/s"), [batch.bind("sensordata")[:, velocity : velocity + 3]], False
        ),
        "contacts": Pack(ArraySpec((), dtype=np.dtype(np.int32)), [batch.bind("ncon")], False),
        **(_gripper_packs(batch) if robot.has_gripper else {}),
    }


def _gripper_packs(batch: Batch) -> dict[str, Pack]:
    actuator = batch.model.actuator("gripper")
    address = int(batch.model.joint(actuator.trnid[0]).qposadr[0])
    low, high = actuator.ctrlrange
    spec = ArraySpec((), "m", low, high)
    return {
        "gripper_position": Pack(spec, [batch.bind("qpos")[:, address]], writable=True),
        "gripper_target": Pack(spec, [batch.bind("ctrl")[:, actuator.id]], writable=True),
    }


def default_packs(batch: Batch) -> dict[str, Pack]:
    """Return the packs of a model without a robot: its whole state, command and sensors."""
    model = batch.model
    limited = model.actuator_ctrllimited.astype(bool)[:, None]
    low, high = np.where(limited, model.actuator_ctrlrange, [-np.inf, np.inf]).T
    specs = {
        "qpos": ArraySpec((model.nq,)),
        "qvel": ArraySpec((model.nv,)),
        "ctrl": ArraySpec((model.nu,), low=low, high=high),
        "sensordata": ArraySpec((model.nsensordata,)),
    }
    return {
        name: Pack(spec, [batch.bind(name)], writable=name != "sensordata")
        for name, spec in specs.items()
        if spec.shape[0]
    }


def user_packs(batch: Batch, bindings: Mapping[str, PackBinding], engine: str) -> dict[str, Pack]:
    """Return the packs that the settings bind.

    Raises:
        UserError: if a binding names an object or a field that the model lacks.
    """
    return {n: _user_pack(batch, b, f"engines.{engine}.packs.{n}") for n, b in bindings.items()}


def _user_pack(batch: Batch, binding: PackBinding, where: str) -> Pack:
    names = (binding.names,) if isinstance(binding.names, str) else binding.names
    valid = _object_names(batch, binding.kind)
    for name in names:
        if name not in valid:
            raise unknown(binding.kind, name, valid, where)
    if binding.field in SERVO_FIELDS and binding.kind == "actuator":
        return _servo_pack(batch, binding, names, where)
    if (binding.kind, binding.field) in LOOKS:
        return _looks_pack(batch, binding, names)
    views = [getattr(batch, binding.kind)(name) for name in names]
    parts = [_part(view, binding, where) for view in views]
    writable = True
    try:
        # writing a model field gives each instance values of its own, which the view then shows
        for view, part in zip(views, parts, strict=True):
            setattr(view, binding.field, part)
        parts = [getattr(view, binding.field) for view in views]
    except ValueError:
        writable = False
    is_parameter = writable and not np.may_share_memory(parts[0], batch.state)
    parts = [part[:, 0] if part.shape[1:] == (1,) else part for part in parts]
    shape = parts[0].shape[1:]
    if any(part.shape[1:] != shape for part in parts):
        raise UserError(f"{where}: '{binding.field}' has not the same shape for all of the names.")
    if not isinstance(binding.names, str):
        shape = (len(names), *shape)
        parts = [parts[0][:, None]] if len(parts) == 1 else parts
    low, high = FIELD_BOUNDS.get(binding.field if writable else "", (-np.inf, np.inf))
    spec = ArraySpec(shape, binding.unit, np.asarray(low), np.asarray(high), dtype=parts[0].dtype)
    pack = Pack(spec, parts, writable, is_parameter)
    if is_parameter and (binding.kind, binding.field) == ("body", "mass"):
        return inertia_follows(pack, batch, [batch.model.body(name).id for name in names])
    return pack


def _servo_pack(batch: Batch, binding: PackBinding, names: Sequence[str], where: str) -> Pack:
    ids = [batch.model.actuator(name).id for name in names]
    if not are_servos(batch.model, ids):
        raise UserError(f"{where}.field: '{binding.field}' is of position servos only.")
    pack = servo_packs(batch, ids)[binding.field]
    return pack if not isinstance(binding.names, str) else pack.of_one()


def _looks_pack(batch: Batch, binding: PackBinding, names: Sequence[str]) -> Pack:
    """Return which materials or textures objects have; the views of a batch do not write these."""
    field, count = LOOKS[binding.kind, binding.field]
    ids = [getattr(batch.model, binding.kind)(name).id for name in names]
    values = batch.expand(field)
    if values.ndim == 3:
        values = values[..., int(mujoco.mjtTextureRole.mjTEXROLE_RGB)]
    low, high = np.asarray(-1.0), np.asarray(getattr(batch.model, count) - 1.0)
    spec = ArraySpec((len(ids),), "", low, high, values.dtype)
    parts = [values[:, i] for i in ids]
    if isinstance(binding.names, str):
        return Pack(replace(spec, shape=(), low=low, high=high), parts, True, True)
    return Pack(spec, parts if len(parts) > 1 else [parts[0][:, None]], True, True)


def _part(view: Any, binding: PackBinding, where: str) -> npt.NDArray[Any]:
    try:
        part = getattr(view, binding.field)
    except AttributeError as error:
        raise UserError(f"{where}.field: {error}.") from error
    if not isinstance(part, np.ndarray) or not part.size:
        raise UserError(
            f"{where}.field: '{binding.field}' of {binding.kind} '{view.name}' is no array."
        )
    return part


def _object_names(batch: Batch, kind: str) -> list[str]:
    model = batch.model
    counts = {"joint": model.njnt, "camera": model.ncam, "actuator": model.nu}
    count = {**counts, "material": model.nmat}.get(kind)
    number = getattr(model, f"n{kind}") if count is None else count
    names = [getattr(model, kind)(i).name for i in range(number)]
    return [name for name in names if name]
