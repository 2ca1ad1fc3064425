"""Where cameras are and how wide they look, as datapacks of each instance."""

from __future__ import annotations

from collections.abc import Mapping

import numpy as np
from mujoco.batch import Batch

from troupe.core.arrays import Array, ArraySpec
from troupe.engines.mujoco_camera_model import FLIP_YZ, Camera
from troupe.engines.mujoco_pack import Pack, Rows
from troupe.engines.mujoco_parameters import FIELD_BOUNDS


def camera_packs(batch: Batch, cameras: Mapping[str, Camera]) -> dict[str, Pack]:
    """Return what can be written of cameras, all model parameters.

    ``<camera>.position`` in the frame of what it is fixed to, m; ``.rotation``, by which it is
    turned from where the model has it, a rotation vector in its own frame (x right, y down, z
    forward), rad; and ``.fovy``, degrees.
    """
    return {
        f"{name}.{kind}": pack
        for name, camera in cameras.items()
        for kind, pack in _packs(batch, camera).items()
    }


def _packs(batch: Batch, camera: Camera) -> dict[str, Pack]:
    number = camera.id
    quaternion = batch.expand("cam_quat")[:, number]
    nominal = batch.model.cam_quat[number]
    rotation = np.zeros((batch.nsim, 3))

    def turn(rows: Rows, before: Array) -> None:
        # the flip is of our frame to MuJoCo's
        quaternion[rows] = _turned(nominal, rotation[rows] @ FLIP_YZ)

    fovy = batch.expand("cam_fovy")[:, number]
    low, high = (np.asarray(bound) for bound in FIELD_BOUNDS["fovy"])
    position = batch.expand("cam_pos")[:, number]
    return {
        "position": Pack(ArraySpec((3,), "m"), [position], True, True),
        "rotation": Pack(ArraySpec((3,), "rad"), [rotation], True, True, turn),
        "fovy": Pack(ArraySpec((), "deg", low, high, fovy.dtype), [fovy], True, True),
    }


def _turned(quaternion: Array, rotation: Array) -> Array:
    """Return a unit quaternion, w first, times those of rotation vectors, rad, (n, 3): (n, 4).

    docs/derivations.md, "Turned cameras".
    """
    angle = np.linalg.norm(rotation, axis=1, keepdims=True)
    # sin(x / 2) / x, which is 1 / 2 at 0
    axis = 0.5 * np.sinc(angle / (2 * np.pi)) * rotation
    a, (b, c, d) = np.cos(angle / 2)[:, 0], axis.T
    w, x, y, z = quaternion
    # element by element: products of matrices may round otherwise with another number of rows
    product = [
        w * a - x * b - y * c - z * d,
        w * b + x * a + y * d - z * c,
        w * c - x * d + y * a + z * b,
        w * d + x * c - y * b + z * a,
    ]
    return np.stack(product, axis=1)
