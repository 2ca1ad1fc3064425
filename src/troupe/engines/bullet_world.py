"""One instance: a physics client of Bullet with a model in it."""

from __future__ import annotations

import re
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
import numpy.typing as npt
import pybullet

from troupe.core.arrays import Array
from troupe.core.errors import UserError, unknown
from troupe.engines.bullet_output import captured
from troupe.engines.bullet_settings import BulletSettings

BASE = -1
DEFAULT_EFFORT = 1000.0
PLACE = re.compile(r"b3(Warning|Error|Printf)(\[examples[^]]*\])?:")


@dataclass(frozen=True)
class Joint:
    """A revolute or prismatic joint.

    Attributes:
        index: Bullet's.
        name: in the model.
        is_revolute: whether it turns.
        low: least position.
        high: greatest position.
        speed: greatest velocity.
        effort: greatest force or torque of its motor.
    """

    index: int
    name: str
    is_revolute: bool
    low: float
    high: float
    speed: float
    effort: float


class BulletWorld:
    """A physics client of its own, so that no instance touches another.

    Attributes:
        joints: that can move.
        link_names: without the base.
        base_name: name of the base.
        messages: what Bullet said about the model.
    """

    def __init__(self, settings: BulletSettings, where: str) -> None:
        """Connect and load the model.

        Raises:
            UserError: if it does not load, or there are too many clients.
        """
        self._settings = settings
        with captured():
            self._client = pybullet.connect(pybullet.DIRECT)
        if self._client < 0:
            raise UserError(f"{where}: Bullet takes no more instances in one process.")
        try:
            self.load(where)
            self._look_up(where)
        except UserError:
            self.close()
            raise

    def load(self, where: str) -> None:
        """Empty the world and load the model, from which all starts with no trace of before."""
        settings = self._settings
        self.call(pybullet.resetSimulation)
        # else the order of contacts depends on what happened before
        self.call(pybullet.setPhysicsEngineParameter, deterministicOverlappingPairs=1)
        self.call(pybullet.setTimeStep, float(settings.timestep / 10**9))
        self.call(pybullet.setGravity, *settings.gravity)
        if settings.plane:
            shape = self.call(pybullet.createCollisionShape, pybullet.GEOM_PLANE)
            self.call(pybullet.createMultiBody, 0, shape)
        bodies = self._load_bodies(where)
        self._body = max(bodies, key=lambda body: self.call(pybullet.getNumJoints, body))

    def call(self, function: Callable[..., Any], *arguments: Any, **more: Any) -> Any:
        """Call a function of Bullet on this client."""
        return function(*arguments, **more, physicsClientId=self._client)

    def write_parameter(self, pack: str, value: npt.NDArray[Any]) -> None:
        """Set gravity, or masses or friction of base and links."""
        if pack == "gravity":
            self.call(pybullet.setGravity, *value)
            return
        key = {"link_mass": "mass", "link_friction": "lateralFriction"}[pack]
        for link, number in enumerate(value.tolist(), start=BASE):
            self.call(pybullet.changeDynamics, self._body, link, **{key: number})

    def write_base(self, pose: Array, velocity: Array) -> None:
        """Set the state of the base; Bullet stops it when it is moved, so all is set."""
        position, rotation = pose[:3].tolist(), pose[3:].tolist()
        self.call(pybullet.resetBasePositionAndOrientation, self._body, position, rotation)
        linear, angular = velocity[:3].tolist(), velocity[3:].tolist()
        self.call(pybullet.resetBaseVelocity, self._body, linear, angular)

    def write_joints(self, position: Array, velocity: Array) -> None:
        """Set the state of the joints."""
        states = zip(self.joints, position.tolist(), velocity.tolist(), strict=True)
        for joint, q, qd in states:
            self.call(pybullet.resetJointState, self._body, joint.index, q, qd)

    def command(self, value: Array) -> None:
        """Let the motors follow positions, velocities or torques, as the settings say."""
        control, gains = self._settings.control, self._settings
        set_motors, ids = pybullet.setJointMotorControlArray, self._indices
        num, efforts = len(ids), [joint.effort for joint in self.joints]
        if control == "torque":
            mode = pybullet.TORQUE_CONTROL
            self.call(set_motors, self._body, ids, mode, forces=value.tolist())
            return
        more: dict[str, Any] = {"forces": efforts, "velocityGains": [gains.velocity_gain] * num}
        mode = pybullet.VELOCITY_CONTROL
        if control == "position":
            mode = pybullet.POSITION_CONTROL
            more |= {"targetPositions": value.tolist(), "targetVelocities": [0.0] * num}
            more["positionGains"] = [gains.position_gain] * num
        else:
            more["targetVelocities"] = value.tolist()
        self.call(set_motors, self._body, ids, mode, **more)

    def release_motors(self) -> None:
        """Switch off the motors that Bullet gives every joint at first."""
        zeros = [0.0] * len(self._indices)
        mode = pybullet.VELOCITY_CONTROL
        set_motors = pybullet.setJointMotorControlArray
        self.call(set_motors, self._body, self._indices, mode, forces=zeros)

    def step(self) -> None:
        """Advance by one time step."""
        self.call(pybullet.stepSimulation)

    def read(self) -> dict[str, Any]:
        """Return the present state; poses of links are those of their frames, not of masses."""
        position, rotation = self.call(pybullet.getBasePositionAndOrientation, self._body)
        linear, angular = self.call(pybullet.getBaseVelocity, self._body)
        contacts = self.call(pybullet.getContactPoints, bodyA=self._body)
        values = {
            "base_pose": position + rotation,
            "base_velocity": linear + angular,
            "contacts": len(contacts or ()),
        }
        if self.joints:
            states = self.call(pybullet.getJointStates, self._body, self._indices)
            q, qd, _, motor = zip(*states, strict=True)
            values |= {"joint_position": q, "joint_velocity": qd, "motor_torque": motor}
        if self.link_names:
            values |= self._links()
        return values

    def parameters(self) -> dict[str, Any]:
        """Return the model's own gravity, masses and friction."""
        links = range(BASE, len(self.link_names))
        dynamics = [self.call(pybullet.getDynamicsInfo, self._body, link) for link in links]
        mass, friction = zip(*((d[0], d[1]) for d in dynamics), strict=True)
        gravity = self._settings.gravity
        return {"gravity": gravity, "link_mass": mass, "link_friction": friction}

    def close(self) -> None:
        """Disconnect."""
        self.call(pybullet.disconnect)

    def _load_bodies(self, where: str) -> Sequence[int]:
        with captured() as lines:
            bodies, error = self._try_to_load()
        self.messages = _messages(lines)
        if bodies:
            return bodies
        said = "\n".join([error, *self.messages])
        raise UserError(f"{where}.model: '{self._settings.model}' does not load: {said}")

    def _try_to_load(self) -> tuple[Sequence[int], str]:
        """Return the bodies of the file, or none and why."""
        path, suffix = str(self._settings.model), self._settings.model.suffix.lower()
        try:
            if suffix == ".urdf":
                fixed = self._settings.fixed_base
                return [self.call(pybullet.loadURDF, path, useFixedBase=fixed)], ""
            load = pybullet.loadSDF if suffix == ".sdf" else pybullet.loadMJCF
            return self.call(load, path), "it holds no body"
        except pybullet.error as error:
            return (), str(error)

    def _look_up(self, where: str) -> None:
        count = self.call(pybullet.getNumJoints, self._body)
        infos = [self.call(pybullet.getJointInfo, self._body, index) for index in range(count)]
        kinds = (pybullet.JOINT_REVOLUTE, pybullet.JOINT_PRISMATIC)
        self.joints = [self._joint(info) for info in infos if info[2] in kinds]
        self._indices = [joint.index for joint in self.joints]
        self.link_names = tuple(info[12].decode() for info in infos)
        self.base_name = self.call(pybullet.getBodyInfo, self._body)[0].decode()
        tool = self._settings.tool
        if tool is not None and tool not in self.link_names:
            raise unknown("link", tool, self.link_names, f"{where}.tool")

    def _joint(self, info: Any) -> Joint:
        low, high, effort, speed = info[8:12]
        if low >= high:  # as it says that there are no limits
            low, high = -np.inf, np.inf
        effort = self._settings.effort or effort or DEFAULT_EFFORT
        is_revolute = info[2] == pybullet.JOINT_REVOLUTE
        return Joint(info[0], info[1].decode(), is_revolute, low, high, speed or np.inf, effort)

    def _links(self) -> dict[str, Any]:
        states = self.call(
            pybullet.getLinkStates,
            self._body,
            range(len(self.link_names)),
            computeLinkVelocity=1,
            computeForwardKinematics=1,
        )
        values: dict[str, Any] = {
            "link_position": [state[4] for state in states],
            "link_rotation": [state[5] for state in states],
        }
        if self._settings.tool is not None:
            mass, _, _, _, position, rotation, linear, angular = states[
                self.link_names.index(self._settings.tool)
            ]
            values["tool_position"] = position
            matrix = pybullet.getMatrixFromQuaternion(rotation)
            values["tool_rotation"] = np.reshape(matrix, (3, 3))
            # Bullet gives the velocity of the centre of mass
            offset = np.subtract(position, mass)
            values["tool_velocity"] = linear + np.cross(angular, offset)
        return values


def _messages(lines: Sequence[str]) -> list[str]:
    """Return what Bullet printed, without the places in its source, which ends no line."""
    return [m for m in (PLACE.sub("", line).strip() for line in lines) if m]
