"""Plain colours of what rays hit: Lambert's law with the model's lights."""

from __future__ import annotations

import mujoco
import numpy as np
import numpy.typing as npt
from mujoco.batch import Batch

from troupe.core.arrays import Array, Ids
from troupe.engines.mujoco_camera_views import View, model_field

_NO_COLOUR = np.array([0.5, 0.5, 0.5, 1.0], np.float32)
"""A geom's colour if none is given; its material's then counts."""


def shade(
    batch: Batch, view: View, points_w: Array, normals_w: Array, geoms: npt.NDArray[np.int32]
) -> npt.NDArray[np.uint8]:
    """Return colours, (n, p, 3); black where nothing is.

    colour = rgb (emission + Σ ambient + attenuation · diffuse · max(0, normal · to_light)), over
    the headlight and the lights, without shadows, highlights and textures.

    Args:
        batch: of the simulations.
        view: of the camera in n instances.
        points_w: that were hit, m, (n, p, 3).
        normals_w: of the surfaces there, unit vectors, (n, p, 3).
        geoms: ids of what was hit, -1 for nothing, (n, p).
    """
    rows = np.arange(len(geoms))[:, None]
    rgb, emission = _materials(batch, view.instances)
    light = np.broadcast_to(emission[rows, geoms][..., None], points_w.shape).copy()
    _add_headlight(light, batch.model.vis.headlight, view, normals_w)
    for number in range(batch.model.nlight):
        _add_light(light, batch, number, view, points_w, normals_w)
    colours = np.clip(rgb[rows, geoms] * light, 0, 1)
    colours[geoms < 0] = 0
    return np.rint(255 * colours).astype(np.uint8)


def _materials(batch: Batch, instances: Ids) -> tuple[Array, Array]:
    """Return the colours, (n, num_geoms, 3), and emissions, (n, num_geoms), of geoms."""
    rgba = model_field(batch, "geom_rgba", instances)
    material = model_field(batch, "geom_matid", instances)
    emission = np.zeros(material.shape)
    if batch.model.nmat:
        rows = np.arange(len(instances))[:, None]
        of_material = model_field(batch, "mat_rgba", instances)[rows, material]
        takes_material = (material >= 0) & (rgba == _NO_COLOUR).all(axis=-1)
        rgba = np.where(takes_material[..., None], of_material, rgba)
        values = model_field(batch, "mat_emission", instances)[rows, material]
        emission = np.where(material >= 0, values, 0.0)
    return rgba[..., :3].astype(np.float64), emission


def _add_headlight(
    light: Array, headlight: mujoco.MjVisual.Headlight, view: View, normals_w: Array
) -> None:
    if not headlight.active:
        return
    forward = view.rotation_w[:, None, :, 2]
    facing = np.maximum(0, -(normals_w * forward).sum(axis=-1, keepdims=True))
    light += headlight.ambient + facing * headlight.diffuse


def _add_light(
    light: Array, batch: Batch, number: int, view: View, points_w: Array, normals_w: Array
) -> None:
    def values(name: str) -> Array:
        """Return a field of this light, to broadcast over the points."""
        of_light = model_field(batch, f"light_{name}", view.instances)[:, number]
        return of_light.reshape(len(view.instances), 1, -1).astype(np.float64)

    is_directional = values("type") == int(mujoco.mjtLightType.mjLIGHT_DIRECTIONAL)
    is_spot = values("type") == int(mujoco.mjtLightType.mjLIGHT_SPOT)
    direction = view.light_direction_w[:, number, None]
    to_light = view.light_position_w[:, number, None] - points_w
    distance = np.linalg.norm(to_light, axis=-1, keepdims=True)
    to_light = np.where(is_directional, -direction, to_light / np.maximum(distance, 1e-9))
    constant, linear, quadratic = np.split(values("attenuation"), 3, axis=-1)
    attenuation = 1 / np.maximum(constant + linear * distance + quadratic * distance**2, 1e-9)
    cosine = np.maximum(0, -(to_light * direction).sum(axis=-1, keepdims=True))
    in_cone = cosine >= np.cos(np.radians(values("cutoff")))
    cone = np.where(is_spot, in_cone * cosine ** values("exponent"), 1.0)
    strength = np.where(is_directional, 1.0, attenuation * cone) * values("active")
    facing = np.maximum(0, (normals_w * to_light).sum(axis=-1, keepdims=True))
    light += strength * (values("ambient") + facing * values("diffuse"))
