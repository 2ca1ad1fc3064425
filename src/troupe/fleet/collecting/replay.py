"""Any stored episode again, bit for bit, from its seed and actions alone."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from typing import Any

import numpy as np
import numpy.typing as npt

from troupe.core.errors import TroupeError, UserError, unknown
from troupe.engines.mujoco_camera_settings import CameraEngine
from troupe.episodes.store import EpisodeRecord, Store
from troupe.experiments.load import build_experiment
from troupe.experiments.schema import Experiment
from troupe.experiments.simulation import Simulation
from troupe.fleet.collecting.configs import read_config


@dataclass(frozen=True)
class View:
    """From where a replay is looked at.

    Attributes:
        engine: that has the camera.
        camera: its name.
        width: of the images, pixels.
        height: of the images, pixels.
    """

    engine: str
    camera: str
    width: int
    height: int


@dataclass(frozen=True)
class StoredEpisode:
    """An episode of a store, and the experiment that it is of."""

    record: EpisodeRecord
    experiment: Experiment


@dataclass(frozen=True)
class Moment:
    """A step of an episode that runs again.

    Attributes:
        step: its number; the last one is the state in which the episode ended.
        image: (height, width, 3), uint8; None without a view.
    """

    step: int
    image: npt.NDArray[np.uint8] | None


def read_episode(store: Store, id: str) -> StoredEpisode:
    """Return an episode of a store.

    Raises:
        UserError: if the store has no such episode, or does not keep its experiment.
    """
    record = store.episode(id)
    return StoredEpisode(record, read_config(store, str(record.about["config"])))


def replay_episode(episode: StoredEpisode, view: View | None = None) -> Iterator[Moment]:
    """Run an episode again, step by step.

    Args:
        episode: as it was stored.
        view: from where to look at it.

    Raises:
        TroupeError: if the episode does not come out as it was stored.
    """
    record, experiment = episode.record, episode.experiment
    if view is not None:
        experiment = _with_view(experiment, view)
    simulation = Simulation(
        experiment,
        1,
        seed=int(record.about["seed"]),
        first_instance=int(record.about["instance"]),
        num_threads=1,
    )
    simulation.episode[:] = int(record.about["episode"]) - 1
    simulation.reset()
    try:
        for step, action in enumerate(record.steps["action"]):
            yield Moment(step, _image(simulation, view))
            _check_packs(simulation, record, step)
            after = simulation.step(action[None])
            _check(record, "reward", step, np.float32(after.reward[0]))
            if "next_observation" in record.steps:
                _check(record, "next_observation", step, after.observation[0])
        yield Moment(len(record.steps["action"]), _image(simulation, view))
    finally:
        simulation.close()


def default_view(experiment: Experiment, camera: str | None, width: int, height: int) -> View:
    """Return a view through a camera of an experiment.

    Args:
        experiment: of the episode.
        camera: a camera of the experiment; default: its first one.
        width: of the images, pixels.
        height: of the images, pixels.

    Raises:
        UserError: if the experiment has no such camera, or none.
    """
    cameras = {
        name: engine
        for engine, settings in experiment.engines.items()
        for name in getattr(settings, "cameras", {})
    }
    if not cameras:
        raise UserError(f"experiment '{experiment.name}' has no camera to look through.")
    if camera is not None and camera not in cameras:
        raise unknown("camera", camera, cameras, where="--camera")
    name = camera or next(iter(cameras))
    return View(cameras[name], name, width, height)


def _with_view(experiment: Experiment, view: View) -> Experiment:
    """Return the experiment with the view's size of image; no episode depends on that."""
    description = experiment.resolved()
    camera = description["engines"][view.engine]["cameras"][view.camera]
    camera |= {"width": view.width, "height": view.height, "modalities": ["rgb"]}
    description["collect"]["images"] = []
    return build_experiment(description)


def _image(simulation: Simulation, view: View | None) -> npt.NDArray[np.uint8] | None:
    if view is None:
        return None
    engine = simulation.loop.engines[view.engine]
    assert isinstance(engine, CameraEngine)
    image: npt.NDArray[np.uint8] = engine.render(view.camera, ("rgb",))["rgb"][0]
    return image


def _check_packs(simulation: Simulation, record: EpisodeRecord, step: int) -> None:
    for name in record.steps:
        if "." in name:
            _check(record, name, step, simulation.world.read(name)[0])


def _check(record: EpisodeRecord, name: str, step: int, value: Any) -> None:
    stored = record.steps[name][step]
    if not np.array_equal(stored, np.asarray(value, stored.dtype), equal_nan=True):
        raise TroupeError(
            f"episode '{record.id}' is not the same again: {name} at step {step} was {stored} "
            f"and is {np.asarray(value, stored.dtype)}."
        )
