"""What a user writes about a light; importable without MuJoCo."""

from __future__ import annotations

from typing import Annotated, Literal

import numpy as np
from pydantic import Field, model_validator

from troupe.core.settings import Settings
from troupe.engines.mujoco_camera_settings import Vector

Intensity = Annotated[float, Field(ge=0, allow_inf_nan=False)]
Colour = tuple[Intensity, Intensity, Intensity]


class LightSettings(Settings):
    """A light of the model by its name, or one of the user's own, placed by a position and target.

    Attributes:
        light: name of a light in the model.
        position: of a light of its own instead, m.
        target: point that such a light shines at, m.
        body: that it is fixed to, in whose frame position and target are; default: the world.
        kind: ``spot`` shines from its position in a wide cone, ``directional`` is as far away as
            the sun; default: ``spot``.
        colour: red, green and blue of what it adds to what faces it, each from 0 for nothing to 1
            for all.
        ambient: the same of what it adds to everything.
        shadows: whether OpenGL draws them.
    """

    light: str | None = None
    position: Vector | None = None
    target: Vector | None = None
    body: str | None = None
    kind: Literal["spot", "directional"] | None = None
    colour: Colour | None = None
    ambient: Colour | None = None
    shadows: bool | None = None

    @model_validator(mode="after")
    def _check_source(self) -> LightSettings:
        own = [key for key in type(self).model_fields if key != "light"]
        given = [key for key in own if getattr(self, key) is not None]
        if self.light is not None and given:
            raise ValueError(
                f"'{given[0]}' is of a light of its own, but 'light' names one of the model's:"
                " give either 'light' or 'position' and 'target'"
            )
        if self.light is None and (self.position is None or self.target is None):
            raise ValueError("give either 'light' or 'position' and 'target'")
        if self.position is not None and np.array_equal(self.position, self.target or ()):
            raise ValueError(f"'position' and 'target' are the same point, {self.position}")
        return self
