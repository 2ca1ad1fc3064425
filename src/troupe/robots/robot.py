"""A serial robot arm as its MJCF file describes it."""

from __future__ import annotations

import xml.etree.ElementTree as ET
from collections.abc import Sequence
from dataclasses import dataclass
from functools import cached_property
from pathlib import Path

import numpy as np

from troupe.core.arrays import Array

START_TOLERANCE_RAD = 0.01
"""How far an arm may be from where a trajectory begins, or outside its limits when it begins."""


@dataclass(frozen=True)
class Joint:
    """A hinge of a serial arm.

    Attributes:
        name: in the model.
        offset: from the parent joint's frame to this one, metres, xyz.
        axis: of rotation in its own frame.
        position_limits: least and greatest angle, rad.
        velocity_limit: greatest speed, rad/s.
        home: angle of the home pose, rad.
    """

    name: str
    offset: tuple[float, float, float]
    axis: tuple[float, float, float]
    position_limits: tuple[float, float]
    velocity_limit: float
    home: float


@dataclass(frozen=True, eq=False)
class Servo:
    """Position controllers of the joints: proportional, damped, limited.

    Gains may also lead with instances that differ, (N, dof).

    Attributes:
        stiffness: (dof,), N m/rad.
        damping: (dof,), N m s/rad.
        limit: greatest effort, (dof,), N m.
    """

    stiffness: Array
    damping: Array
    limit: Array

    @classmethod
    def from_mjcf(cls, root: ET.Element, names: Sequence[str]) -> Servo | None:
        """Read the gains of the position actuators; None unless gains and limits are stated."""
        default = root.find("default/position")
        if default is None or not {"kp", "kv"} <= default.attrib.keys():
            return None
        actuators = [_find(root, f"actuator/position[@name='{name}']") for name in names]
        if any(_stated(root, actuator, "forcerange") is None for actuator in actuators):
            return None
        kp, kv, force = (
            np.array([_demanded(root, actuator, attribute) for actuator in actuators])
            for attribute in ("kp", "kv", "forcerange")
        )
        return cls(kp[:, 0], kv[:, 0], force[:, 1])

    @property
    def lag_s(self) -> Array:
        """How far joints are behind targets that move steadily, since speed is damped, (dof,)."""
        lag: Array = self.damping / self.stiffness
        return lag

    def effort(self, target: Array, position: Array, velocity: Array) -> Array:
        """Return kp (target - position) - kv velocity within the limits, (N, dof), N m."""
        wanted = self.stiffness * (target - position) - self.damping * velocity
        return np.clip(wanted, -self.limit, self.limit)


@dataclass(frozen=True)
class Gripper:
    """Two fingers that move alike, driven by a position controller.

    Attributes:
        position_limits: how far each finger may be from the middle, m.
        stiffness: of the position controller, N/m.
        effort_limit: of the actuator, N.
    """

    position_limits: tuple[float, float]
    stiffness: float
    effort_limit: float

    @classmethod
    def from_mjcf(cls, root: ET.Element) -> Gripper | None:
        """Read the actuator "gripper" and the joint that it drives; None if there is none.

        Raises:
            ValueError: if neither they nor their defaults state what is wanted.
        """
        actuator = root.find("actuator/position[@name='gripper']")
        if actuator is None:
            return None
        if "joint" not in actuator.attrib:
            raise ValueError("the model has no 'joint' for position 'gripper'")
        finger = _find(root, f"worldbody//joint[@name='{actuator.attrib['joint']}']")
        low, high = _demanded(root, finger, "range")
        (stiffness,) = _demanded(root, actuator, "kp")
        _, effort_limit = _demanded(root, actuator, "forcerange")
        return cls((float(low), float(high)), float(stiffness), float(effort_limit))


@dataclass(frozen=True)
class Robot:
    """A serial arm: where its model is, and what can be computed without a simulator.

    Attributes:
        name: the model's name.
        model_path: its MJCF file.
        joints: from base to tool.
        tool_offset: of the tool site in the last link's frame, metres.
        gripper: two fingers, if there is an actuator "gripper".
        servo: what the joints' position controllers do, where the model states it in numbers.
    """

    name: str
    model_path: Path
    joints: tuple[Joint, ...]
    tool_offset: tuple[float, float, float]
    gripper: Gripper | None = None
    servo: Servo | None = None

    @classmethod
    def from_mjcf(cls, model_path: Path) -> Robot:
        """Read a chain of bodies with a hinge each, to the site "tool", and a keyframe "home".

        Speed limits stand in the custom numeric ``joint_velocity_limit``, since MJCF has no
        attribute for them.
        """
        root = ET.parse(model_path).getroot()
        limits = _find(root, "custom/numeric[@name='joint_velocity_limit']")
        velocity_limits = _numbers(limits, "data")
        home = _numbers(_find(root, "keyframe/key[@name='home']"), "qpos")
        joints: list[Joint] = []
        body = _find(root, "worldbody/body")
        offset = np.zeros(3)
        while True:
            offset = offset + _numbers(body, "pos", "0 0 0")
            hinge = body.find("joint")
            if hinge is not None:
                low, high = _numbers(hinge, "range")
                i = len(joints)
                joints.append(
                    Joint(
                        name=hinge.attrib["name"],
                        offset=_triple(offset),
                        axis=_triple(_numbers(hinge, "axis")),
                        position_limits=(float(low), float(high)),
                        velocity_limit=float(velocity_limits[i]),
                        home=float(home[i]),
                    )
                )
                offset = np.zeros(3)
            if body.find("site[@name='tool']") is not None:
                break
            body = _find(body, "body")
        tool = offset + _numbers(_find(body, "site[@name='tool']"), "pos", "0 0 0")
        servo = Servo.from_mjcf(root, [joint.name for joint in joints])
        return cls(
            root.attrib["model"],
            model_path,
            tuple(joints),
            _triple(tool),
            Gripper.from_mjcf(root),
            servo,
        )

    @property
    def has_gripper(self) -> bool:
        """Whether there are fingers at the end of the arm."""
        return self.gripper is not None

    @property
    def joint_names(self) -> tuple[str, ...]:
        """Names of the joints from base to tool."""
        return tuple(joint.name for joint in self.joints)

    @cached_property
    def position_limits(self) -> Array:
        """Least and greatest angles, (2, dof), rad."""
        return np.array([joint.position_limits for joint in self.joints]).T

    @cached_property
    def velocity_limits(self) -> Array:
        """Greatest speeds, (dof,), rad/s."""
        return np.array([joint.velocity_limit for joint in self.joints])

    @cached_property
    def home(self) -> Array:
        """Angles of the home pose, (dof,), rad."""
        return np.array([joint.home for joint in self.joints])

    def at_limits(self, joint_position: Array, tolerance_rad: float) -> Array:
        """Return joint positions, (..., dof), rad, at the limits that they exceed by a tolerance.

        What is further outside stays there.
        """
        inside = np.clip(joint_position, *self.position_limits)
        is_near = np.abs(joint_position - inside) <= tolerance_rad
        return np.where(is_near, inside, joint_position)

    def link_frames(self, joint_position: Array) -> Array:
        """Return the frames T_base_joint of all joints, then the tool's.

        Each is the product of the fixed offset and the rotation about the joint's axis, in order
        (docs/derivations.md, "Forward kinematics").

        Args:
            joint_position: (..., dof), rad.

        Returns:
            (..., dof + 1, 4, 4) homogeneous transforms, metres.
        """
        shape = joint_position.shape[:-1]
        frames = np.empty((*shape, len(self.joints) + 1, 4, 4))
        frame = np.broadcast_to(np.eye(4), (*shape, 4, 4))
        for i, joint in enumerate(self.joints):
            step = np.zeros((*shape, 4, 4))
            step[..., :3, :3] = _rotation(np.asarray(joint.axis), joint_position[..., i])
            step[..., :3, 3] = joint.offset
            step[..., 3, 3] = 1.0
            frame = frame @ step
            frames[..., i, :, :] = frame
        tool = np.eye(4)
        tool[:3, 3] = self.tool_offset
        frames[..., -1, :, :] = frame @ tool
        return frames

    def tool_pose(self, joint_position: Array) -> Array:
        """Return the tool's frame T_base_tool, (..., 4, 4), for angles (..., dof) in rad."""
        frames: Array = self.link_frames(joint_position)[..., -1, :, :]
        return frames

    def max_reach(self) -> float:
        """Return a bound on the tool's distance from joint 1, in metres.

        It is the length of the chain after joint 1. If all axes are parallel, lengths and distance
        are taken across them, since what lies along them is the same in every pose.
        """
        offsets = np.array([*(joint.offset for joint in self.joints[1:]), self.tool_offset])
        axes = np.array([joint.axis for joint in self.joints])
        if (axes == axes[0]).all():
            offsets = np.cross(offsets, axes[0] / np.linalg.norm(axes[0]))
        return float(np.linalg.norm(offsets, axis=1).sum())


def _rotation(axis: Array, angle: Array) -> Array:
    """Rodrigues' formula: R = I + sin(a) K + (1 - cos(a)) K K, (..., 3, 3)."""
    x, y, z = axis / np.linalg.norm(axis)
    cross = np.array([[0, -z, y], [z, 0, -x], [-y, x, 0]])
    sine, cosine = np.sin(angle)[..., None, None], np.cos(angle)[..., None, None]
    rotation: Array = np.eye(3) + sine * cross + (1 - cosine) * (cross @ cross)
    return rotation


def _find(element: ET.Element, path: str) -> ET.Element:
    found = element.find(path)
    if found is None:
        raise ValueError(f"the model has no {path}")
    return found


def _stated(root: ET.Element, element: ET.Element, attribute: str) -> Array | None:
    """Return what an element states, or else the nearest default that holds for it; or None."""
    around = [e for e in root.iter() if "childclass" in e.attrib and element in e.iter(element.tag)]
    name = element.get("class", around[-1].attrib["childclass"] if around else None)
    own = root.find("default" if name is None else f".//default[@class='{name}']")
    # a class has what it does not state from those around it
    classes = [d for d in root.iter("default") if any(own is inner for inner in d.iter())]
    stated = [found for default in classes for found in default.findall(element.tag)]
    for place in (element, *reversed(stated)):
        if attribute in place.attrib:
            return _numbers(place, attribute)
    return None


def _demanded(root: ET.Element, element: ET.Element, attribute: str) -> Array:
    found = _stated(root, element, attribute)
    if found is None:
        raise ValueError(
            f"the model has no '{attribute}' for {element.tag} '{element.get('name')}', nor a "
            "default for it"
        )
    return found


def _numbers(element: ET.Element, attribute: str, default: str = "") -> Array:
    return np.array(element.get(attribute, default).split(), np.float64)


def _triple(values: Array) -> tuple[float, float, float]:
    x, y, z = (float(v) for v in values)
    return x, y, z
