"""MuJoCo, vector-first: many simulations of one model on native threads."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from fractions import Fraction
from pathlib import Path
from typing import Any

import mujoco
import numpy as np
import numpy.typing as npt
from mujoco.batch import MODEL_FIELDS, Batch, SimulationError

from troupe.core.arrays import Ids
from troupe.core.errors import UserError
from troupe.engines.base import EngineSpec, Fault, StepCounter, as_indices, check_pack
from troupe.engines.mujoco_packs import default_packs, robot_packs, user_packs
from troupe.engines.mujoco_settings import MujocoSettings

# a NaN or a diverging state: MuJoCo counts it and, unless told not to, resets by itself
_BAD_STATE = (
    mujoco.mjtWarning.mjWARN_BADQPOS,
    mujoco.mjtWarning.mjWARN_BADQVEL,
    mujoco.mjtWarning.mjWARN_BADQACC,
    mujoco.mjtWarning.mjWARN_BADCTRL,
)


class MujocoEngine:
    """Steps `num_instances` simulations of one model; results do not depend on the threads.

    A simulation that diverges or raises is reported by `faults`, returned to its initial state
    and does not touch the others.
    """

    def __init__(
        self, settings: MujocoSettings, name: str, num_instances: int, num_threads: int
    ) -> None:
        """Compile the model.

        Raises:
            UserError: if it does not compile or a pack names an object that it lacks.
        """
        robot = settings.load_robot()
        path = robot.model_path if robot is not None else settings.model
        assert path is not None
        self.model = compile_model(path)
        if settings.timestep is not None:
            self.model.opt.timestep = float(settings.timestep / 10**9)
        timestep_ns = settings.timestep or Fraction(str(self.model.opt.timestep)) * 10**9
        self.batch = Batch(self.model, num_instances, num_threads, persistent=True)
        packs = robot_packs(self.batch, robot) if robot else default_packs(self.batch)
        packs |= user_packs(self.batch, settings.packs, name)
        self._user_packs = frozenset(settings.packs)
        self._packs = packs
        self._model_fields = sorted(f for f in MODEL_FIELDS if self.batch.expanded(f) is not None)
        self._constants_stale = False
        self._keyframe = 0 if self.model.nkey else -1
        self._counter = StepCounter(timestep_ns)
        self._warnings_seen = self.batch.warning.copy()
        self._last_state = self.batch.state.copy()
        self._faults: list[Fault] = []
        self.spec = EngineSpec(
            name=name,
            timestep_ns=timestep_ns,
            num_instances=num_instances,
            inputs={n: p.spec for n, p in packs.items() if p.writable},
            outputs={n: p.spec for n, p in packs.items()},
        )
        self.batch.reset(keyframe=self._keyframe)

    def reset(self, seeds: Sequence[int], instances: Ids | None = None) -> None:
        """Return instances to the first keyframe, or to the model's defaults if it has none.

        MuJoCo has no randomness of its own, so the seeds change nothing.
        """
        self.batch.reset(instances, keyframe=self._keyframe, stage=mujoco.mjtStage.mjSTAGE_NONE)

    def write(self, pack: str, value: npt.ArrayLike, instances: Ids | None = None) -> None:
        """Set a state, command or model parameter of instances; active from the next advance."""
        check_pack(self.spec.inputs, pack, self.spec.name)
        self._packs[pack].write(value, instances)
        self._constants_stale |= pack in self._user_packs

    def advance(self, duration_ns: int, instances: Ids | None = None) -> None:
        """Step the physics by a duration, then compute positions and velocities of the new state."""
        num_steps = self._counter.advance(duration_ns)
        if self._constants_stale and self._model_fields:
            self.batch.set_const()
            self._constants_stale = False
        self._faults = []
        np.copyto(self._last_state, self.batch.state)
        try:
            if num_steps:
                self.batch.step(instances, num_steps, mujoco.mjtStage.mjSTAGE_VEL)
            else:
                self.batch.forward(instances, mujoco.mjtStage.mjSTAGE_VEL)
        except SimulationError as error:
            self._recover(error.ids, [self.batch.error(i) for i in error.ids])
        if not np.array_equal(self.batch.warning, self._warnings_seen):
            self._recover_diverged()

    def read(self, pack: str) -> npt.NDArray[Any]:
        """Return a pack's values, (num_instances, ...)."""
        return self._packs[pack].read()

    def faults(self) -> Sequence[Fault]:
        """Return the simulations that failed in the last advance."""
        return self._faults

    def snapshot(self) -> dict[str, npt.NDArray[Any]]:
        """Return the integration states and the model fields that differ between instances."""
        fields = {f"model.{n}": self.batch.expand(n).copy() for n in self._model_fields}
        time_ns = np.full(self.spec.num_instances, self._counter.time_ns, np.int64)
        return {"state": self.batch.state.copy(), "time_ns": time_ns, **fields}

    def restore(
        self, snapshot: Mapping[str, npt.NDArray[Any]], instances: Ids | None = None
    ) -> None:
        """Return instances to a snapshot's state, bit for bit."""
        ids = as_indices(instances, self.spec.num_instances)
        for key, values in snapshot.items():
            if key.startswith("model."):
                self.batch.expand(key.removeprefix("model."))[ids] = values[ids]
                self._constants_stale = True
        self.batch.state[ids] = snapshot["state"][ids]
        self._counter.time_ns = int(snapshot["time_ns"][0])
        self.advance(0, instances)

    def close(self) -> None:
        """Release the simulations; views that were read stay valid."""
        self._packs = {}

    def _recover_diverged(self) -> None:
        new = (self.batch.warning > self._warnings_seen)[:, _BAD_STATE]
        np.copyto(self._warnings_seen, self.batch.warning)
        ids = np.flatnonzero(new.any(axis=1))
        reasons = [_BAD_STATE[int(new[i].argmax())].name.removeprefix("mjWARN_") for i in ids]
        self._recover(ids, reasons)

    def _recover(self, ids: npt.NDArray[Any], reasons: Sequence[str]) -> None:
        for i, reason in zip(ids, reasons, strict=True):
            last_state = {"state": self._last_state[i].copy()}
            self._faults.append(Fault(int(i), reason, last_state))
        if len(ids):
            self.batch.reset(ids, keyframe=self._keyframe)
            self.batch.forward(ids, mujoco.mjtStage.mjSTAGE_VEL)


def compile_model(path: Path) -> mujoco.MjModel:
    """Return the compiled model of an MJCF or URDF file.

    Raises:
        UserError: if the file is missing or does not compile.
    """
    if not path.is_file():
        raise UserError(f"model file '{path}' does not exist.")
    try:
        return mujoco.MjModel.from_xml_path(str(path))
    except ValueError as error:
        raise UserError(f"model file '{path}' does not compile: {error}") from error
