"""Robots in Bullet, without its window."""

from __future__ import annotations

import logging
from collections.abc import Mapping, Sequence
from typing import Any

import numpy as np
import numpy.typing as npt
import pybullet

from troupe.core.arrays import ArraySpec, Ids, as_indices
from troupe.core.errors import EngineError
from troupe.engines.base import EngineSpec, Fault, StepCounter, check_pack
from troupe.engines.bullet_settings import BulletSettings
from troupe.engines.bullet_world import BulletWorld

logger = logging.getLogger(__name__)

COMMANDS = {
    "position": "joint_target",
    "velocity": "joint_velocity_target",
    "torque": "joint_torque",
}
PARAMETERS = ("gravity", "link_mass", "link_friction")
JOINT_STATE = ("joint_position", "joint_velocity")
BASE_STATE = ("base_pose", "base_velocity")


class BulletEngine:
    """Steps a model in one physics client of Bullet for each instance.

    Packs to read and write are ``joint_position``, ``joint_velocity``, the command that
    ``control`` chooses, ``base_pose`` (position, then quaternion x, y, z, w, both of the base's
    centre of mass), ``base_velocity`` (linear, then angular), ``gravity``, ``link_mass`` and
    ``link_friction`` (the base first). To read are ``motor_torque``, ``link_position``,
    ``link_rotation`` (quaternions), ``contacts`` (their number in the last time step) and, of a
    ``tool``, ``tool_position``, ``tool_rotation`` (a matrix) and ``tool_velocity``. Poses and
    velocities are in the world's frame. Joints are revolute or prismatic; others are not packs.

    A reset loads the model anew, as Bullet's caches of contacts and of impulses survive anything
    less. They cannot be had as arrays, and `pybullet.saveState` holds only in its own client: so
    there are no snapshots.
    """

    def __init__(self, settings: BulletSettings, name: str, num_instances: int) -> None:
        """Load the model into the clients.

        Raises:
            UserError: if it does not load.
        """
        self._where = f"engines.{name}"
        self._worlds: list[BulletWorld] = []
        try:
            for _ in range(num_instances):
                self._worlds.append(BulletWorld(settings, self._where))
        except Exception:
            self.close()
            raise
        for message in self._worlds[0].messages:
            logger.warning("%s.model: Bullet says: %s", self._where, message)
        self._command = COMMANDS[settings.control] if self._worlds[0].joints else None
        self._is_torque = settings.control == "torque"
        packs = _packs(self._worlds[0], self._command, settings)
        writable = {*JOINT_STATE, *BASE_STATE, *PARAMETERS, self._command}
        self.spec = EngineSpec(
            name=name,
            timestep_ns=settings.timestep,
            num_instances=num_instances,
            inputs={pack: spec for pack, spec in packs.items() if pack in writable},
            outputs=packs,
            can_snapshot=False,
        )
        self._values = {
            pack: np.zeros((num_instances, *spec.shape), spec.dtype) for pack, spec in packs.items()
        }
        self._written = {pack: np.zeros(num_instances, np.bool_) for pack in self.spec.inputs}
        self._counter = StepCounter(settings.timestep, num_instances)
        self._faults: list[Fault] = []
        for i in range(num_instances):
            self._show_initial(i)

    def reset(self, seeds: Sequence[int], instances: Ids | None = None) -> None:
        """Load the model of instances anew; Bullet has no randomness that a seed would change."""
        for i in as_indices(instances, self.spec.num_instances):
            self._begin(int(i))

    def write(self, pack: str, value: npt.ArrayLike, instances: Ids | None = None) -> None:
        """Set a state, command or model parameter of instances; active from the next advance."""
        check_pack(self.spec.inputs, pack, self.spec.name)
        rows = ... if instances is None else instances
        self._values[pack][rows] = value
        self._written[pack][rows] = True

    def advance(self, duration_ns: int, instances: Ids | None = None) -> None:
        """Step instances one after the other; by 0, show what was written.

        Raises:
            EngineError: if Bullet refuses.
        """
        self._faults = []
        try:
            for steps in self._counter.advance(duration_ns, instances):
                for i in as_indices(steps.instances, self.spec.num_instances):
                    self._advance(int(i), steps.count)
        except pybullet.error as error:
            raise EngineError(f"{self.spec.name}: Bullet says: {error}") from error

    def read(self, pack: str) -> npt.NDArray[Any]:
        """Return a pack's values, (num_instances, ...)."""
        check_pack(self.spec.outputs, pack, self.spec.name)
        return self._values[pack]

    def faults(self) -> Sequence[Fault]:
        """Return the instances whose state was not finite."""
        return self._faults

    def snapshot(self) -> dict[str, npt.NDArray[Any]]:
        """Raise: Bullet's caches cannot be had."""
        raise EngineError(f"{self.spec.name}: Bullet has no exact snapshots.")

    def restore(
        self, snapshot: Mapping[str, npt.NDArray[Any]], instances: Ids | None = None
    ) -> None:
        """Raise: Bullet's caches cannot be set."""
        raise EngineError(f"{self.spec.name}: Bullet has no exact snapshots.")

    def close(self) -> None:
        """Disconnect the clients."""
        for world in self._worlds:
            world.close()
        self._worlds = []

    def _begin(self, i: int) -> None:
        self._worlds[i].load(self._where)
        self._counter.remainder[i] = 0
        self._show_initial(i)

    def _show_initial(self, i: int) -> None:
        world = self._worlds[i]
        for written in self._written.values():
            written[i] = False
        self._show(i, world.read() | world.parameters())
        if self._command is None:
            return
        if self._is_torque:
            world.release_motors()
        holds = self._values["joint_position"][i] if self._command == "joint_target" else 0.0
        self._values[self._command][i] = holds
        self._written[self._command][i] = True

    def _advance(self, i: int, num_steps: int) -> None:
        world = self._worlds[i]
        self._apply(i, world)
        for _ in range(num_steps):
            if self._is_torque and self._command:  # Bullet forgets torques after each step
                world.command(self._values[self._command][i])
            world.step()
        self._show(i, world.read())
        states = [
            self._values[pack][i] for pack in (*JOINT_STATE, *BASE_STATE) if pack in self._values
        ]
        if not all(np.isfinite(values).all() for values in states):
            self._fail(i)

    def _apply(self, i: int, world: BulletWorld) -> None:
        written = {pack for pack, rows in self._written.items() if rows[i]}
        values = self._values
        for pack in written.intersection(PARAMETERS):
            world.write_parameter(pack, values[pack][i])
        if written.intersection(BASE_STATE):
            world.write_base(values["base_pose"][i], values["base_velocity"][i])
        if written.intersection(JOINT_STATE):
            world.write_joints(values["joint_position"][i], values["joint_velocity"][i])
        if self._command in written and not self._is_torque:
            world.command(values[self._command][i])
        for pack in written:
            self._written[pack][i] = False

    def _show(self, i: int, values: Mapping[str, Any]) -> None:
        for pack, value in values.items():
            if pack in self._values:
                self._values[pack][i] = value

    def _fail(self, i: int) -> None:
        last_state = {pack: values[i].copy() for pack, values in self._values.items()}
        self._faults.append(Fault(i, "the state is not finite", last_state))
        self._begin(i)


def _packs(
    world: BulletWorld, command: str | None, settings: BulletSettings
) -> dict[str, ArraySpec]:
    links = (len(world.link_names),)
    bodies = (world.base_name, *world.link_names)
    packs = {
        "base_pose": ArraySpec((7,)),
        "base_velocity": ArraySpec((6,)),
        "gravity": ArraySpec((3,), "m/s²"),
        "link_mass": ArraySpec((len(bodies),), "kg", low=np.asarray(0.0), names=bodies),
        "link_friction": ArraySpec((len(bodies),), low=np.asarray(0.0), names=bodies),
        "contacts": ArraySpec((), dtype=np.dtype(np.int32)),
    }
    if links[0]:
        packs["link_position"] = ArraySpec((*links, 3), "m", names=world.link_names)
        packs["link_rotation"] = ArraySpec((*links, 4), names=world.link_names)
    if settings.tool is not None:
        packs["tool_position"] = ArraySpec((3,), "m")
        packs["tool_rotation"] = ArraySpec((3, 3))
        packs["tool_velocity"] = ArraySpec((3,), "m/s")
    if command is not None:
        packs |= _joint_packs(world, command)
    return packs


def _joint_packs(world: BulletWorld, command: str) -> dict[str, ArraySpec]:
    joints = world.joints
    names = tuple(joint.name for joint in joints)
    unit, force = "", ""  # where joints are of both kinds
    if all(joint.is_revolute for joint in joints):
        unit, force = "rad", "N m"
    elif not any(joint.is_revolute for joint in joints):
        unit, force = "m", "N"
    low, high = (np.array([getattr(j, key) for j in joints]) for key in ("low", "high"))
    speed, effort = (np.array([getattr(j, key) for j in joints]) for key in ("speed", "effort"))
    position = ArraySpec((len(joints),), unit, low, high, names=names)
    per_second = f"{unit}/s" if unit else ""
    velocity = ArraySpec((len(joints),), per_second, -speed, speed, names=names)
    torque = ArraySpec((len(joints),), force, -effort, effort, names=names)
    commands = {
        "joint_target": position,
        "joint_velocity_target": velocity,
        "joint_torque": torque,
    }
    return {
        "joint_position": position,
        "joint_velocity": velocity,
        "motor_torque": torque,
        command: commands[command],
    }
