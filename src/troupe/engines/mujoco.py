"""MuJoCo, vector-first: many simulations of one model on native threads."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from fractions import Fraction
from pathlib import Path
from typing import TYPE_CHECKING, Any

import mujoco
import numpy as np
import numpy.typing as npt
from mujoco.batch import MODEL_FIELDS, Batch, SimulationError

from troupe.core.arrays import Ids, as_indices
from troupe.core.errors import EngineError, UserError, unknown
from troupe.engines.base import EngineSpec, Fault, StepCounter, Steps, check_pack
from troupe.engines.mujoco_camera_settings import Renderer
from troupe.engines.mujoco_lights import add_lights, light_packs
from troupe.engines.mujoco_log import keep_log_out_of_files
from troupe.engines.mujoco_pack import Pack
from troupe.engines.mujoco_packs import default_packs, robot_packs, user_packs
from troupe.engines.mujoco_parameters import robot_parameters
from troupe.engines.mujoco_settings import MujocoSettings

if TYPE_CHECKING:
    from troupe.engines.mujoco_cameras import Cameras
    from troupe.engines.mujoco_collisions import CollisionChecker

# a NaN or a diverging state: MuJoCo counts it and, unless told not to, resets by itself
_BAD_STATE = {
    int(mujoco.mjtWarning.mjWARN_BADQPOS): "a position (qpos) is not finite or huge",
    int(mujoco.mjtWarning.mjWARN_BADQVEL): "a velocity (qvel) is not finite or huge",
    int(mujoco.mjtWarning.mjWARN_BADQACC): "an acceleration (qacc) is not finite or huge",
    int(mujoco.mjtWarning.mjWARN_BADCTRL): "a command (ctrl) is not finite or huge",
}


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
        robot = self._robot = settings.load_robot()
        path = robot.model_path if robot is not None else settings.model
        assert path is not None
        keep_log_out_of_files()
        self.model = compile_model(path, f"engines.{name}.model", _additions(settings, name))
        if settings.timestep is not None:
            self.model.opt.timestep = float(settings.timestep / 10**9)
        timestep_ns = settings.timestep or Fraction(str(self.model.opt.timestep)) * 10**9
        self.batch = Batch(self.model, num_instances, num_threads, persistent=True)
        if robot is None:
            packs = default_packs(self.batch)
        else:
            packs = robot_packs(self.batch, robot) | robot_parameters(self.batch, robot)
        if settings.scene is not None:
            packs |= settings.scene.packs(self.batch)
        packs |= light_packs(self.batch, settings.lights, name)
        self._cameras = _cameras(self.batch, settings, name)
        if self._cameras is not None:
            packs |= self._cameras.parameters
        packs |= user_packs(self.batch, settings.packs, name)
        self._packs = packs
        images = {} if self._cameras is None else self._cameras.specs
        self._parameters = _parameters(self.batch, packs)
        self._derived_from = _sources_of_constants(self._parameters, packs)
        self._initial_parameters = {f: v[0].copy() for f, v in self._parameters.items()}
        self._parameters_written = np.zeros(num_instances, np.bool_)
        self._constants_stale = np.zeros(num_instances, np.bool_)
        self._keyframe = 0 if self.model.nkey else -1
        self._counter = StepCounter(timestep_ns, num_instances)
        self._warnings_seen = self.batch.warning.copy()
        self._last_state = self.batch.state.copy()
        self._faults: list[Fault] = []
        self.spec = EngineSpec(
            name=name,
            timestep_ns=timestep_ns,
            num_instances=num_instances,
            inputs={n: p.spec for n, p in packs.items() if p.writable},
            outputs={**{n: p.spec for n, p in packs.items()}, **images},
            rendered=tuple(images),
        )
        self.batch.reset(keyframe=self._keyframe)

    def reset(self, seeds: Sequence[int], instances: Ids | None = None) -> None:
        """Return instances to the first keyframe, or to the model's defaults if it has none.

        MuJoCo has no randomness of its own, so the seeds change nothing.
        """
        self.batch.reset(instances, keyframe=self._keyframe, stage=mujoco.mjtStage.mjSTAGE_NONE)
        self._counter.reset(instances)
        if self._cameras is not None:
            self._cameras.changed(instances)
        if self._parameters_written.any():
            self._reset_parameters(as_indices(instances, self.spec.num_instances))

    def write(self, pack: str, value: npt.ArrayLike, instances: Ids | None = None) -> None:
        """Set a state, command or model parameter of instances; active from the next advance."""
        check_pack(self.spec.inputs, pack, self.spec.name)
        self._packs[pack].write(value, instances)
        if self._cameras is not None:
            self._cameras.changed(instances)
        if self._packs[pack].is_parameter:
            rows = slice(None) if instances is None else instances
            self._parameters_written[rows] = True
            if pack in self._derived_from:
                self._constants_stale[rows] = True

    def advance(self, duration_ns: int, instances: Ids | None = None) -> None:
        """Step the physics by a duration, then compute what follows from the new state."""
        self._derive_constants()
        self._faults = []
        np.copyto(self._last_state, self.batch.state)
        for steps in self._counter.advance(duration_ns, instances):
            try:
                self._step(steps)
            except SimulationError as error:
                self._recover(error.ids, [self.batch.error(i) for i in error.ids])
        if (self.batch.warning != self._warnings_seen).any():
            self._recover_diverged()
        if self._cameras is not None:
            self._cameras.advanced(instances)

    def read(self, pack: str) -> npt.NDArray[Any]:
        """Return a pack's values, (num_instances, ...); a camera's are rendered now."""
        found = self._packs.get(pack)
        if found is not None:
            return found.read()
        if self._cameras is not None and pack in self._cameras.specs:
            return self._cameras.read(pack)
        raise unknown("datapack", pack, self.spec.outputs, self.spec.name)

    def render(
        self, camera: str, modalities: Sequence[str], instances: Ids | None = None
    ) -> dict[str, npt.NDArray[Any]]:
        """Return images of instances, None for all, at the present state: (n, height, width, ...).

        Raises:
            UserError: if there is no such camera or modality.
        """
        if self._cameras is None:
            raise unknown("camera", camera, (), self.spec.name)
        return self._cameras.render(camera, modalities, instances)

    def renderers(self) -> Mapping[str, Renderer]:
        """Return the renderer that each camera uses."""
        return {} if self._cameras is None else self._cameras.renderers

    def mask_names(self) -> Mapping[int, str]:
        """Return the names of the ids in masks, which are the bodies'."""
        return {} if self._cameras is None else self._cameras.mask_names

    def collision_checker(
        self,
        instance: int = 0,
        *,
        clearance_m: float = 0.0,
        ignore: Sequence[str] = (),
        num_threads: int = 1,
    ) -> CollisionChecker:
        """Return what says whether the robot would touch anything in an instance's present world.

        Args:
            instance: whose state and model parameters count.
            clearance_m: how near the robot may come to other things.
            ignore: names of bodies that do not count, such as what is in the hand.
            num_threads: native threads to check on, 0 for one a core.

        Raises:
            UserError: if the engine has no robot, no such instance or no such body.
        """
        from troupe.engines.mujoco_collisions import CollisionChecker

        if self._robot is None:
            raise UserError(f"engines.{self.spec.name}: a model without 'robot' has no joints.")
        last = self.spec.num_instances - 1
        if not 0 <= instance <= last:
            raise UserError(
                f"engines.{self.spec.name}: there is no instance {instance}; valid: 0 to {last}."
            )
        model = self.batch.get_model(instance)
        qpos = self.batch.bind("qpos")[instance].copy()
        return CollisionChecker(
            model,
            qpos,
            self._robot,
            clearance_m=clearance_m,
            ignore=ignore,
            num_threads=num_threads,
        )

    def faults(self) -> Sequence[Fault]:
        """Return the simulations that failed in the last advance."""
        return self._faults

    def snapshot(self) -> dict[str, npt.NDArray[Any]]:
        """Return the integration states and the model fields that differ between instances."""
        fields = {f"model.{name}": values.copy() for name, values in self._parameters.items()}
        remainder = self._counter.remainder.copy()
        return {"state": self.batch.state.copy(), "remainder": remainder, **fields}

    def restore(
        self, snapshot: Mapping[str, npt.NDArray[Any]], instances: Ids | None = None
    ) -> None:
        """Return instances to a snapshot's state, bit for bit."""
        ids = as_indices(instances, self.spec.num_instances)
        for name, values in self._parameters.items():
            values[ids] = snapshot[f"model.{name}"][ids]
            self._parameters_written[ids] = self._constants_stale[ids] = True
        self.batch.state[ids] = snapshot["state"][ids]
        self._counter.remainder[ids] = snapshot["remainder"][ids]
        self.advance(0, instances)

    def close(self) -> None:
        """Release the simulations; views that were read stay valid."""
        self._packs = {}
        if self._cameras is not None:
            self._cameras.close()

    def _reset_parameters(self, ids: Ids) -> None:
        ids = ids[self._parameters_written[ids]]
        for name, values in self._parameters.items():
            values[ids] = self._initial_parameters[name]
        self._parameters_written[ids] = False
        self._constants_stale[ids] = True

    def _derive_constants(self) -> None:
        """Let what MuJoCo derives from model parameters follow those that were written."""
        if not self._constants_stale.any():
            return
        try:
            self.batch.set_const(self._constants_stale)
        except SimulationError as error:
            raise EngineError(f"{self.spec.name}: model parameters are wrong: {error}") from error
        self._constants_stale[...] = False

    def _step(self, steps: Steps) -> None:
        if steps.count:
            self.batch.step(steps.instances, steps.count, mujoco.mjtStage.mjSTAGE_VEL)
        else:
            self.batch.forward(steps.instances, mujoco.mjtStage.mjSTAGE_VEL)

    def _recover_diverged(self) -> None:
        counts, seen = self.batch.warning[..., 1], self._warnings_seen[..., 1]
        new = (counts > seen)[:, list(_BAD_STATE)]
        ids = np.flatnonzero(new.any(axis=1))
        reasons = list(_BAD_STATE.values())
        self._recover(ids, [reasons[kind] for kind in new[ids].argmax(axis=1)])
        # a reset has set the counters of its simulations to 0
        np.copyto(self._warnings_seen, self.batch.warning)

    def _recover(self, ids: npt.NDArray[Any], reasons: Sequence[str]) -> None:
        for i, reason in zip(ids, reasons, strict=True):
            last_state = {"state": self._last_state[i].copy()}
            self._faults.append(Fault(int(i), reason, last_state))
        if len(ids):
            self.reset([0] * len(ids), ids)
            self._derive_constants()
            self.batch.forward(ids, mujoco.mjtStage.mjSTAGE_VEL)


def _parameters(batch: Batch, packs: Mapping[str, Pack]) -> dict[str, npt.NDArray[Any]]:
    """Return what instances have of their own, (num_instances, ...) each, by a unique name."""
    fields = sorted(f for f in MODEL_FIELDS if batch.expanded(f) is not None)
    parameters = {field: batch.expand(field) for field in fields}
    own = {n: p.parts[0] for n, p in packs.items() if p.is_parameter and p.follow is not None}
    memories = {f"{n}/memory": p.memory for n, p in packs.items() if p.memory is not None}
    shared = list(parameters.values())
    return {
        **parameters,
        **memories,
        **{
            name: values
            for name, values in own.items()
            if not any(np.may_share_memory(values, field) for field in shared)
        },
    }


def _sources_of_constants(
    parameters: Mapping[str, npt.NDArray[Any]], packs: Mapping[str, Pack]
) -> frozenset[str]:
    """Return the packs of parameters from which MuJoCo derives others."""
    sources = [v for f, v in parameters.items() if f in mujoco.MjModel._setconst_inputs]
    return frozenset(
        name
        for name, pack in packs.items()
        if pack.follow is not None
        or (pack.is_parameter and any(np.may_share_memory(pack.parts[0], v) for v in sources))
    )


Addition = Callable[[mujoco.MjSpec], None]


def _additions(settings: MujocoSettings, engine: str) -> list[Addition]:
    additions: list[Addition] = [] if settings.scene is None else [settings.scene.add_to]
    if any(camera.camera is None for camera in settings.cameras.values()):
        from troupe.engines.mujoco_camera_model import add_cameras

        additions.append(lambda spec: add_cameras(spec, settings.cameras, engine))
    if any(light.light is None for light in settings.lights.values()):
        additions.append(lambda spec: add_lights(spec, settings.lights, engine))
    return additions


def _cameras(batch: Batch, settings: MujocoSettings, engine: str) -> Cameras | None:
    if not settings.cameras:
        return None
    from troupe.engines.mujoco_cameras import Cameras

    return Cameras(batch, settings.cameras, engine)


def compile_model(path: Path, where: str, additions: Sequence[Addition] = ()) -> mujoco.MjModel:
    """Return the compiled model of an MJCF or URDF file.

    Args:
        path: of the file.
        where: the place in the user's input, for the message.
        additions: what adds to the model before it is compiled.

    Raises:
        UserError: if the file is missing or does not compile.
    """
    if not path.is_file():
        raise UserError(f"{where}: file '{path}' does not exist.")
    try:
        if not additions:
            return mujoco.MjModel.from_xml_path(str(path))
        spec = mujoco.MjSpec.from_file(str(path))
        for add_to in additions:
            add_to(spec)
        return spec.compile()
    except ValueError as error:
        raise UserError(f"{where}: '{path}' does not compile: {error}") from error
