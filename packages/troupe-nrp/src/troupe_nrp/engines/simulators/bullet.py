"""Bullet models."""

from __future__ import annotations

import warnings
from collections.abc import Mapping
from pathlib import Path
from typing import Any

from troupe.core.errors import UserError

GRAVITY = (0.0, 0.0, -9.8)
KINDS = ("Joint", "Link", "Body")

# what a part of an action says by default, as NRP-core has it
_MOTOR = {
    "index": 0,
    "controlMode": "POSITION_CONTROL",
    "targetPosition": 0,
    "targetVelocity": 0,
    "force": 0,
    "positionGain": 1,
    "velocityGain": 1,
}
_FORCE = {"index": 0, "forceObj": (0, 0, 0), "posObj": (0, 0, 0), "flags": "LINK_FRAME"}
_TORQUE = {"index": 0, "torqueObj": (0, 0, 0), "flags": "LINK_FRAME"}


class BulletSimulator:
    """Steps the first body of a URDF, SDF or MJCF file; that of a URDF file stands on a plane.

    An action is ``{"Joint": [...], "Force": [...], "Torque": [...]}``: dicts with the ``index`` of
    a joint or link and what Bullet's ``setJointMotorControl2``, ``applyExternalForce`` and
    ``applyExternalTorque`` take.
    """

    def __init__(self, path: Path, visible: bool, extra: Mapping[str, Any]) -> None:
        """Load the model.

        Raises:
            UserError: if Bullet is not installed, or cannot load the file.
        """
        self._bullet = _import()
        self._path = path
        self._gravity = tuple(extra.get("gravity", GRAVITY))
        self._has_plane = bool(extra.get("plane", path.suffix == ".urdf"))
        mode = self._bullet.GUI if visible else self._bullet.DIRECT
        self._client = self._bullet.connect(mode)
        self._begin()

    def run_step(self, action: Any, timestep_ns: int) -> None:
        """Apply an action, if one is given, and advance by one step."""
        apply = {"Joint": self._set_motor, "Force": self._push, "Torque": self._turn}
        for kind, parts in (action or {}).items():
            if kind not in apply:
                raise ValueError(f"an action sets {', '.join(apply)}, not '{kind}'")
            for part in parts:
                apply[kind](part)
        self._bullet.setTimeStep(timestep_ns * 1e-9, physicsClientId=self._client)
        self._bullet.stepSimulation(physicsClientId=self._client)
        self._time_ns += timestep_ns

    def reset(self) -> None:
        self._bullet.resetSimulation(physicsClientId=self._client)
        self._begin()

    def shutdown(self) -> None:
        self._bullet.disconnect(physicsClientId=self._client)

    def names(self, kind: str) -> list[str]:
        if kind not in KINDS:
            raise ValueError(f"no kind '{kind}' of parts; there are {', '.join(KINDS)}")
        return list({"Joint": self._joints, "Link": self._links, "Body": self._bodies}[kind])

    def value(self, name: str, kind: str) -> Any:
        """Return the state of a joint (position, velocity, …) or of a link (position, …).

        Of a body it is the dynamics (mass, …) of its base.
        """
        if name not in self.names(kind):
            raise ValueError(f"no {kind} '{name}'; there are {', '.join(self.names(kind))}")
        bullet, client = self._bullet, self._client
        if kind == "Joint":
            return bullet.getJointState(self._body, self._joints[name], physicsClientId=client)
        if kind == "Body":
            return bullet.getDynamicsInfo(self._bodies[name], -1, physicsClientId=client)
        index = self._links[name]
        if index < 0:
            return bullet.getBasePositionAndOrientation(self._body, physicsClientId=client)
        return bullet.getLinkState(self._body, index, physicsClientId=client)

    def values(self, kind: str) -> Any:
        return {name: self.value(name, kind) for name in self.names(kind)}

    def time_s(self) -> float:
        return self._time_ns * 1e-9

    def _begin(self) -> None:
        bullet, client = self._bullet, self._client
        bullet.setGravity(*self._gravity, physicsClientId=client)
        self._add_plane()
        load = {".urdf": bullet.loadURDF, ".sdf": bullet.loadSDF, ".xml": bullet.loadMJCF}
        try:
            bodies = load[self._path.suffix](str(self._path), physicsClientId=client)
        except (KeyError, bullet.error) as error:
            valid = ", ".join(load)
            raise UserError(
                f"WorldFileName: Bullet cannot load '{self._path}' (of {valid}): {error}"
            ) from error
        self._body = bodies if isinstance(bodies, int) else bodies[0]
        base = bullet.getBodyInfo(self._body, physicsClientId=client)[0].decode()
        self._joints: dict[str, int] = {}
        self._links: dict[str, int] = {base: -1}
        for i in range(bullet.getNumJoints(self._body, physicsClientId=client)):
            info = bullet.getJointInfo(self._body, i, physicsClientId=client)
            self._joints[info[1].decode()], self._links[info[12].decode()] = i, i
        self._bodies: dict[str, int] = {}
        for i in range(bullet.getNumBodies(physicsClientId=client)):
            body = bullet.getBodyUniqueId(i, physicsClientId=client)
            info = bullet.getBodyInfo(body, physicsClientId=client)
            self._bodies[info[1].decode()] = body
        self._time_ns = 0

    def _add_plane(self) -> None:
        import pybullet_data  # type: ignore[import-untyped]

        data = pybullet_data.getDataPath()
        self._bullet.setAdditionalSearchPath(data, physicsClientId=self._client)
        if self._has_plane:
            self._bullet.loadURDF(f"{data}/plane.urdf", physicsClientId=self._client)

    def _set_motor(self, motor: Mapping[str, Any]) -> None:
        self._call(self._bullet.setJointMotorControl2, "controlMode", {**_MOTOR, **motor})

    def _push(self, force: Mapping[str, Any]) -> None:
        self._call(self._bullet.applyExternalForce, "flags", {**_FORCE, **force})

    def _turn(self, torque: Mapping[str, Any]) -> None:
        self._call(self._bullet.applyExternalTorque, "flags", {**_TORQUE, **torque})

    def _call(self, function: Any, constant: str, values: dict[str, Any]) -> None:
        """Call a function of Bullet's with a dict, of which one value names a constant."""
        if isinstance(values[constant], str):
            values[constant] = getattr(self._bullet, values[constant])
        index = values.pop("index")
        function(self._body, index, physicsClientId=self._client, **values)


def _import() -> Any:
    try:
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")  # of the compiled module's types
            import pybullet
    except ImportError as error:
        message = f"Simulator: Bullet is not installed ({error}): pip install 'troupe[bullet]'"
        raise UserError(message) from error
    return pybullet
