"""Where to grasp, from a depth image alone: over the middle of a thing, across its long axis."""

from __future__ import annotations

from typing import Any

import numpy as np
import numpy.typing as npt

from troupe.core.arrays import Array
from troupe.core.errors import UserError
from troupe.experiments.schema import Experiment
from troupe.fleet.collecting.grasp_view import GraspView
from troupe.policies.base import PolicyStep
from troupe.robots.tray import TRAY
from troupe.tasks.grasp import GraspSettings

IMAGE = "overhead.depth"
THING_M = 0.008
"""So high over the tray's floor begins what is not floor."""

LEAST_PIXELS = 4
DEEP_M = 0.004
"""How far below the middle of a thing's height the tool closes."""


class DepthHeuristic:
    """Chooses a thing at random, and closes the hand over its middle.

    Observations are depth images of the camera over the tray, in which the x axis is up.
    """

    version = 0
    noise_size = 1

    def __init__(self, experiment: Experiment) -> None:
        """Know the camera, and what actions mean.

        Raises:
            UserError: if the experiment is no grasping whose observation is that image.
        """
        settings = experiment.task
        if not isinstance(settings, GraspSettings):
            kind = "none" if settings is None else f"`{settings.type}`"
            raise UserError(
                "--policy heuristic: it chooses whole attempts, for a task of type `grasp`; that "
                f"of '{experiment.name}' is {kind}."
            )
        if settings.image != IMAGE:
            raise UserError(
                f"--policy heuristic: it looks at {IMAGE}, which the task does not observe: add "
                f"--set task.image={IMAGE}."
            )
        self._view = GraspView.of(experiment)

    def choose(self, depth: npt.NDArray[np.float32], noise: float) -> Array:
        """Return an action, (4,), for an image, (H, W), in metres.

        Args:
            depth: image.
            noise: standard normal number, by which one of the things is chosen.
        """
        from scipy.ndimage import label
        from scipy.special import ndtr

        points = self._view.points(depth)
        inside, height_m = points[..., :2], points[..., 2] - TRAY.floor_m
        within = (np.abs(inside - TRAY.centre_m) < np.array(TRAY.half_size_m) - 0.01).all(axis=-1)
        labels, number = label((height_m > THING_M) & within & (depth > 0))
        sizes = np.bincount(labels.ravel(), minlength=number + 1)[1:]
        things = np.flatnonzero(sizes >= LEAST_PIXELS) + 1
        if not len(things):
            return np.zeros(4)
        chosen = labels == things[min(int(ndtr(noise) * len(things)), len(things) - 1)]
        spots, tops_m = inside[chosen], height_m[chosen]
        middle = spots.mean(axis=0)
        _, axes = np.linalg.eigh(np.cov((spots - middle).T))
        yaw = np.arctan2(axes[1, 1], axes[0, 1])  # of the long axis, along which the fingers are
        yaw = (yaw + np.pi / 2) % np.pi - np.pi / 2
        wanted = np.array([*middle, 0.5 * np.quantile(tops_m, 0.8) - DEEP_M, yaw])
        return self._view.actions(wanted)

    def act(
        self,
        observation: npt.NDArray[Any],
        noise: npt.NDArray[np.float32] | None = None,
        first_instance: int = 0,
    ) -> PolicyStep:
        """Return actions for depth images, (N, H, W); without noise for the middle thing."""
        given = np.zeros(len(observation)) if noise is None else noise[:, 0]
        actions = [
            self.choose(image, float(z)) for image, z in zip(observation, given, strict=True)
        ]
        return PolicyStep(np.array(actions, np.float32), np.zeros(len(actions), np.float32))
