"""What a user writes about a Gymnasium engine; importable without Gymnasium."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any, Literal

from troupe.core.settings import Timestep
from troupe.engines.base import EngineSettings

if TYPE_CHECKING:
    from troupe.engines.gymnasium import GymnasiumEngine


class GymnasiumSettings(EngineSettings):
    """Any Gymnasium environment whose observations are flat and whose actions are too, or discrete.

    Attributes:
        id: of the environment, e.g. ``HalfCheetah-v5``, or ``module:id`` to import a module first.
        kwargs: for the environment.
        timestep: simulated time of one step of it, which the loop's step is to be a multiple of;
            default: what the environment says (``dt``), else 20ms.
    """

    type: Literal["gymnasium"] = "gymnasium"
    id: str
    kwargs: dict[str, Any] = {}
    timestep: Timestep | None = None

    def build(self, name: str, num_instances: int, num_threads: int) -> GymnasiumEngine:
        """Make the environments and return an engine of them."""
        from troupe.engines.gymnasium import GymnasiumEngine

        return GymnasiumEngine(self, name, num_instances)
