"""The contract of a scene."""

from __future__ import annotations

from typing import TYPE_CHECKING, Annotated

from pydantic import BeforeValidator, SerializeAsAny

from troupe.core.settings import Settings, by_type

if TYPE_CHECKING:
    import mujoco
    from mujoco.batch import Batch

    from troupe.engines.mujoco_pack import Pack


class SceneSettings(Settings):
    """What a user writes about a scene; subclasses add their own keys.

    Attributes:
        type: its name in the entry-point group ``troupe.scenes``.
    """

    type: str

    def add_to(self, spec: mujoco.MjSpec) -> None:
        """Add bodies, cameras and whatever else there is to a robot's model."""
        raise NotImplementedError

    def packs(self, batch: Batch) -> dict[str, Pack]:
        """Return the datapacks of what was added."""
        raise NotImplementedError


Scene = Annotated[SerializeAsAny[SceneSettings], BeforeValidator(by_type("troupe.scenes"))]
"""A scene of the group ``troupe.scenes``, by its ``type``."""
