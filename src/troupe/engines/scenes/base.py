"""The contract of a scene."""

from __future__ import annotations

from typing import TYPE_CHECKING, Annotated, Any

from pydantic import BeforeValidator, SerializeAsAny, ValidationInfo

from troupe.core import plugins
from troupe.core.errors import unknown
from troupe.core.settings import Settings

if TYPE_CHECKING:
    import mujoco
    from mujoco.batch import Batch

    from troupe.engines.mujoco_packs import Pack


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


def _of_type(value: Any, info: ValidationInfo) -> Any:
    """Return the settings of the class that a mapping's type names."""
    if isinstance(value, SceneSettings):
        return value
    valid = plugins.names("troupe.scenes")
    if not isinstance(value, dict) or value.get("type") not in valid:
        named = value.get("type") if isinstance(value, dict) else value
        raise ValueError(f"give a mapping with a 'type', not {named!r}; valid: {', '.join(valid)}")
    cls: type[SceneSettings] = plugins.load("troupe.scenes", value["type"])
    for key in value:
        if key not in cls.model_fields:
            raise ValueError(str(unknown("key", str(key), cls.model_fields)))
    return cls.model_validate(value, context=info.context)


Scene = Annotated[SerializeAsAny[SceneSettings], BeforeValidator(_of_type)]
"""A scene of the group ``troupe.scenes``, by its ``type``."""
