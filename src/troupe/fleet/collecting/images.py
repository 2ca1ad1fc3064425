"""Images of instances, taken when their episodes begin and end, or at every step."""

from __future__ import annotations

from collections import defaultdict
from typing import Any

import numpy as np
import numpy.typing as npt

from troupe.core.arrays import Ids
from troupe.core.errors import unknown
from troupe.engines.mujoco_camera_settings import MODALITIES, CameraEngine
from troupe.experiments.schema import CollectSettings
from troupe.experiments.simulation import Simulation

Pictures = dict[str, npt.NDArray[Any]]


class Images:
    """The images of the present episodes of a simulation."""

    def __init__(self, settings: CollectSettings, simulation: Simulation) -> None:
        """Look the datapacks up.

        Raises:
            UserError: if the engines lack one.
        """
        self._simulation, self._steps = simulation, settings.image_steps
        self._cameras: dict[tuple[str, str], list[str]] = defaultdict(list)
        for name in settings.images:
            simulation.world.output(name)
            engine, _, pack = name.partition(".")
            camera, _, modality = pack.rpartition(".")
            is_seen = isinstance(simulation.loop.engines[engine], CameraEngine)
            if not is_seen or modality not in MODALITIES:
                valid = [n for n in simulation.world.outputs if n.endswith(MODALITIES)]
                raise unknown("image", name, valid, where="collect.images")
            self._cameras[engine, camera].append(modality)
        self._taken: list[list[tuple[int, Pictures]]] = []
        self._taken = [[] for _ in range(simulation.num_instances)]

    def begin(self, ids: Ids) -> None:
        """Forget the images of instances, whose next episodes begin."""
        for i in ids:
            self._taken[i] = []

    def look(self) -> None:
        """Take images where an action that counts is about to be chosen, or everywhere."""
        if not self._cameras:
            return
        simulation = self._simulation
        if self._steps == "all":
            self._take(np.arange(simulation.num_instances))
            return
        deciding = np.flatnonzero(simulation.task.decides(simulation.world))
        if self._steps == "ends":
            deciding = np.array([i for i in deciding if not self._taken[i]], np.int64)
        self._take(deciding)

    def end(self, ids: Ids) -> None:
        """Take images of instances whose episodes have ended."""
        if self._cameras:
            self._take(ids)

    def take(self, instance: int) -> tuple[Pictures, Pictures]:
        """Return an instance's images by name, (K, ...), and the steps that each shows, (K,)."""
        taken, self._taken[instance] = self._taken[instance], []
        if not taken:
            return {}, {}
        at = np.array([step for step, _ in taken], np.int32)
        images = {name: np.stack([shown[name] for _, shown in taken]) for name in taken[0][1]}
        return images, dict.fromkeys(images, at)

    def example(self) -> Pictures:
        """Return no images of each, (0, ...)."""
        found: Pictures = {}
        for (engine, camera), modalities in self._cameras.items():
            for modality in modalities:
                spec = self._simulation.world.output(f"{engine}.{camera}.{modality}")
                found[f"{camera}.{modality}"] = np.zeros((0, *spec.shape), spec.dtype)
        return found

    def _take(self, ids: Ids) -> None:
        if not len(ids):
            return
        steps = self._simulation.episode_step
        shown: Pictures = {}
        for (name, camera), modalities in self._cameras.items():
            rendered = self._simulation.render(name, camera, modalities, ids)
            shown |= {f"{camera}.{modality}": image for modality, image in rendered.items()}
        for row, i in enumerate(ids):
            self._taken[i].append(
                (int(steps[i]), {name: image[row] for name, image in shown.items()})
            )
