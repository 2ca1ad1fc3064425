"""MuJoCo models."""

from __future__ import annotations

from fractions import Fraction
from pathlib import Path
from typing import Any

import mujoco
import numpy as np
from troupe.core.errors import UserError

KINDS = {
    "body": "nbody",
    "joint": "njnt",
    "geom": "ngeom",
    "site": "nsite",
    "light": "nlight",
    "camera": "ncam",
    "actuator": "nu",
    "sensor": "nsensor",
    "tendon": "ntendon",
    "mesh": "nmesh",
}
"""Kinds of parts, with the model's counter of each."""

JACOBIANS = {"body": mujoco.mj_jacBody, "geom": mujoco.mj_jacGeom, "site": mujoco.mj_jacSite}
"""Kinds of parts that have a velocity, with what computes it."""


class MujocoSimulator:
    """Steps one model.

    Values are read as "<kind>_<field>", e.g. ``site_xpos``, matrices with the shape (3, 3); of a
    sensor as "sensor".
    """

    def __init__(self, path: Path, visible: bool) -> None:
        """Load the model.

        Raises:
            UserError: if it does not compile.
        """
        try:
            self._model = mujoco.MjModel.from_xml_path(str(path))
        except ValueError as error:
            raise UserError(f"WorldFileName: '{path}': {error}") from error
        self._data = mujoco.MjData(self._model)
        self._timestep_ns = Fraction(str(self._model.opt.timestep)) * 10**9
        mujoco.mj_forward(self._model, self._data)
        self._viewer: Any = None
        if visible:
            from mujoco import viewer

            self._viewer = viewer.launch_passive(self._model, self._data)

    def run_step(self, action: Any, timestep_ns: int) -> None:
        """Set the actuators' controls, if an action is given, and advance."""
        steps = timestep_ns / self._timestep_ns
        if steps.denominator != 1:
            raise ValueError(
                f"the time step of {timestep_ns} ns is not a multiple of the model's, "
                f"{float(self._timestep_ns):g} ns"
            )
        if action is not None:
            controls = np.asarray(action, np.float64)
            if controls.shape != (self._model.nu,):
                raise ValueError(
                    f"an action has {self._model.nu} numbers, one for each actuator, not the shape "
                    f"{controls.shape}"
                )
            self._data.ctrl[:] = controls
        mujoco.mj_step(self._model, self._data, int(steps))
        if self._viewer is not None:
            self._viewer.sync()

    def reset(self) -> None:
        mujoco.mj_resetData(self._model, self._data)
        mujoco.mj_forward(self._model, self._data)

    def shutdown(self) -> None:
        if self._viewer is not None:
            self._viewer.close()

    def names(self, kind: str) -> list[str]:
        part, _ = _split(kind)
        count = getattr(self._model, KINDS[part])
        return [getattr(self._model, part)(i).name for i in range(count)]

    def value(self, name: str, kind: str) -> Any:
        part, attribute = _split(kind)
        if name not in self.names(part):
            raise ValueError(f"no {part} '{name}'; there are {', '.join(self.names(part))}")
        if part in JACOBIANS and attribute in ("xvelp", "xvelr", "jacp", "jacr"):
            return self._motion(part, name, attribute)
        if part == "sensor":
            attribute = attribute or "data"
        if not attribute:
            raise ValueError(f"'{kind}' says not what of it: write e.g. '{kind}_xpos'")
        for source in (self._data, self._model):
            found = getattr(getattr(source, part, lambda name: None)(name), attribute, None)
            if found is not None:
                return _shaped(np.array(found), attribute)
        raise ValueError(f"a {part} has no '{attribute}'")

    def values(self, kind: str) -> Any:
        """Return the values of all parts by name, or one of MuJoCo's arrays, e.g. ``qpos``."""
        field = getattr(self._data, kind, None)
        if kind.partition("_")[0] not in KINDS and isinstance(field, np.ndarray):
            return field.copy()
        return {name: self.value(name, kind) for name in self.names(kind)}

    def time_s(self) -> float:
        return float(self._data.time)

    def _motion(self, part: str, name: str, attribute: str) -> Any:
        """Return a part's linear ("p") or angular ("r") velocity, or its Jacobian row by row."""
        linear, angular = np.zeros((2, 3, self._model.nv))
        number = getattr(self._model, part)(name).id
        JACOBIANS[part](self._model, self._data, linear, angular, number)
        jacobian = linear if attribute.endswith("p") else angular
        return jacobian @ self._data.qvel if attribute.startswith("xvel") else jacobian.reshape(-1)


def _split(kind: str) -> tuple[str, str]:
    part, _, attribute = kind.partition("_")
    if part not in KINDS:
        raise ValueError(f"no kind '{kind}' of parts; there are {', '.join(KINDS)}")
    return part, attribute


def _shaped(values: Any, attribute: str) -> Any:
    if values.size == 1:
        return float(values.reshape(-1)[0])
    return values.reshape(3, 3) if attribute.endswith("mat") else values
