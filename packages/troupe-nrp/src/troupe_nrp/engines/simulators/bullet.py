"""Bullet models."""

from __future__ import annotations

import warnings
from collections.abc import Mapping
from pathlib import Path
from typing import Any

from troupe.core.errors import UserError

GRAVITY = (0.0, 0.0, -9.81)
KINDS = ("Joint", "Link")


class BulletSimulator:
    """Steps the first body of a URDF, SDF or MJCF file.

    An action is ``{"Joint": [{"index": 0, "controlMode": "VELOCITY_CONTROL", ...}]}``, with what
    Bullet's ``setJointMotorControl2`` takes.
    """

    def __init__(self, path: Path, visible: bool, extra: Mapping[str, Any]) -> None:
        """Load the model.

        Raises:
            UserError: if Bullet is not installed, or cannot load the file.
        """
        self._bullet = _import()
        self._path = path
        self._gravity = tuple(extra.get("gravity", GRAVITY))
        mode = self._bullet.GUI if visible else self._bullet.DIRECT
        self._client = self._bullet.connect(mode)
        self._begin()

    def run_step(self, action: Any, timestep_ns: int) -> None:
        """Set the joints' motors, if an action is given, and advance by one step."""
        unknown = set(action or {}) - {"Joint"}
        if unknown:
            raise ValueError(f"an action sets 'Joint', not '{unknown.pop()}'")
        for motor in (action or {}).get("Joint", ()):
            self._set_motor(dict(motor))
        self._bullet.setTimeStep(timestep_ns * 1e-9, physicsClientId=self._client)
        self._bullet.stepSimulation(physicsClientId=self._client)
        self._time_ns += timestep_ns

    def reset(self) -> None:
        self._bullet.resetSimulation(physicsClientId=self._client)
        self._begin()

    def shutdown(self) -> None:
        self._bullet.disconnect(physicsClientId=self._client)

    def names(self, kind: str) -> list[str]:
        _check(kind)
        return list(self._joints if kind == "Joint" else self._links)

    def value(self, name: str, kind: str) -> Any:
        """Return a joint's state (position, velocity, …) or a link's (position, orientation, …)."""
        if name not in self.names(kind):
            raise ValueError(f"no {kind} '{name}'; there are {', '.join(self.names(kind))}")
        bullet, client = self._bullet, self._client
        if kind == "Joint":
            return bullet.getJointState(self._body, self._joints[name], physicsClientId=client)
        index = self._links[name]
        if index < 0:
            return bullet.getBasePositionAndOrientation(self._body, physicsClientId=client)
        return bullet.getLinkState(self._body, index, physicsClientId=client)

    def time_s(self) -> float:
        return self._time_ns * 1e-9

    def _begin(self) -> None:
        bullet, client = self._bullet, self._client
        bullet.setGravity(*self._gravity, physicsClientId=client)
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
        self._time_ns = 0

    def _set_motor(self, motor: dict[str, Any]) -> None:
        mode = motor.pop("controlMode", "VELOCITY_CONTROL")
        self._bullet.setJointMotorControl2(
            self._body,
            motor.pop("index"),
            getattr(self._bullet, mode) if isinstance(mode, str) else mode,
            physicsClientId=self._client,
            **motor,
        )


def _import() -> Any:
    try:
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")  # of the compiled module's types
            import pybullet
    except ImportError as error:
        message = f"Simulator: Bullet is not installed ({error}): pip install 'troupe[bullet]'"
        raise UserError(message) from error
    return pybullet


def _check(kind: str) -> None:
    if kind not in KINDS:
        raise ValueError(f"no kind '{kind}' of parts; there are {', '.join(KINDS)}")
