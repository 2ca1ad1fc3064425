"""The lights of a MuJoCo engine: packs of each that the settings list."""

from __future__ import annotations

from collections.abc import Mapping

import mujoco
import numpy as np
from mujoco.batch import Batch

from troupe.core.arrays import Array, ArraySpec
from troupe.core.errors import unknown
from troupe.engines.mujoco_additions import body_of_new
from troupe.engines.mujoco_light_settings import LightSettings
from troupe.engines.mujoco_pack import Pack, Rows

_CUTOFF_DEG, _EXPONENT = 60.0, 1.0
# OpenGL as MuJoCo uses it draws no point lights
_KINDS = {
    "spot": mujoco.mjtLightType.mjLIGHT_SPOT,
    "directional": mujoco.mjtLightType.mjLIGHT_DIRECTIONAL,
}


def add_lights(spec: mujoco.MjSpec, lights: Mapping[str, LightSettings], engine: str) -> None:
    """Add the lights that the settings place to a model, under their names there.

    Raises:
        UserError: if a light's body does not exist or its name is taken.
    """
    for name, settings in lights.items():
        where = f"engines.{engine}.lights.{name}"
        if settings.position is None or settings.target is None:
            continue
        there = [light.name for light in spec.lights]
        body = body_of_new("light", name, settings.body, there, spec, where)
        body.add_light(
            name=name,
            type=_KINDS[settings.kind or "spot"],
            cutoff=_CUTOFF_DEG,
            exponent=_EXPONENT,
            pos=settings.position,
            dir=np.subtract(settings.target, settings.position),
            diffuse=settings.colour or (0.7, 0.7, 0.7),
            ambient=settings.ambient or (0.0, 0.0, 0.0),
            castshadow=settings.shadows is not False,
        )


def light_packs(batch: Batch, lights: Mapping[str, LightSettings], engine: str) -> dict[str, Pack]:
    """Return position, direction, colour and ambient of lights, all model parameters.

    Raises:
        UserError: if the model has no such light.
    """
    model = batch.model
    names = [model.light(i).name for i in range(model.nlight)]
    packs: dict[str, Pack] = {}
    for name, settings in lights.items():
        wanted = settings.light or name
        if wanted not in names:
            where = f"engines.{engine}.lights.{name}.light"
            raise unknown("light", wanted, [n for n in names if n], where)
        packs |= {f"{name}.{kind}": p for kind, p in _packs(batch, names.index(wanted)).items()}
    return packs


def _packs(batch: Batch, number: int) -> dict[str, Pack]:
    def pack(field: str, unit: str = "") -> Pack:
        values = batch.expand(f"light_{field}")[:, number]
        spec = ArraySpec((3,), unit, dtype=values.dtype)
        return Pack(spec, [values], writable=True, is_parameter=True)

    def colour(field: str) -> Pack:
        values = batch.expand(f"light_{field}")[:, number]
        zero, one = np.asarray(0.0), np.asarray(1.0)
        spec = ArraySpec((3,), low=zero, high=one, dtype=values.dtype)
        return Pack(spec, [values], writable=True, is_parameter=True)

    direction = batch.expand("light_dir")[:, number]

    def to_unit(rows: Rows, before: Array) -> None:
        length = np.linalg.norm(direction[rows], axis=-1, keepdims=True)
        direction[rows] = direction[rows] / np.where(length > 0, length, 1.0)

    return {
        "position": pack("pos", "m"),
        "direction": Pack(ArraySpec((3,)), [direction], True, True, to_unit),
        "colour": colour("diffuse"),
        "ambient": colour("ambient"),
    }
