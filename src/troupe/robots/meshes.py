"""Mesh files of the user, as convex bodies."""

from __future__ import annotations

import struct
from collections.abc import Sequence
from dataclasses import dataclass
from functools import lru_cache
from pathlib import Path

import numpy as np
from scipy.spatial import ConvexHull, QhullError

from troupe.core.arrays import Array
from troupe.robots.solids import principal_hull

SUFFIXES = (".obj", ".stl")
MOST_VERTICES = 64

_TRIANGLE = np.dtype([("normal", "<f4", 3), ("corners", "<f4", (3, 3)), ("attribute", "<u2")])


@dataclass(frozen=True, eq=False)
class Mesh:
    """The convex hull of a mesh, with at most 64 vertices.

    Attributes:
        name: of the file.
        vertices: in its principal frame, (V, 3), m.
    """

    name: str
    vertices: Array

    @property
    def size_m(self) -> Array:
        """Lengths of the box about it, along its main axes, (3,)."""
        size: Array = np.ptp(self.vertices, axis=0)
        return size

    @property
    def size_text(self) -> str:
        """These lengths in words."""
        return " x ".join(f"{length:.3g}" for length in self.size_m) + " m"

    @property
    def radius_m(self) -> float:
        """How far it reaches from its centre of mass."""
        return float(np.linalg.norm(self.vertices, axis=1).max())

    @property
    def width_m(self) -> float:
        """How wide it is where it is narrowest between a face and what is opposite."""
        normals = ConvexHull(self.vertices).equations[:, :3]
        return float(np.ptp(self.vertices @ normals.T, axis=0).min())


def load_meshes(paths: Sequence[Path], scale: float) -> tuple[Mesh, ...]:
    """Return the meshes of files and of all files in folders, in order.

    Args:
        paths: of OBJ and STL files, and of folders.
        scale: metres of what is one in the files.

    Raises:
        ValueError: that names the file, if one cannot be read or has no volume.
    """
    files = [file for path in paths for file in _files(path)]
    names = [file.name for file in files]
    unique = [
        name if names.count(name) == 1 else f"{file.parent.name}/{name}"
        for file, name in zip(files, names, strict=True)
    ]
    return tuple(
        Mesh(name, _vertices(file, scale, file.stat().st_mtime_ns))
        for name, file in zip(unique, files, strict=True)
    )


def _files(path: Path) -> list[Path]:
    if path.is_file():
        return [path]
    found = sorted(file for file in path.rglob("*") if file.suffix.lower() in SUFFIXES)
    if not found:
        raise ValueError(f"'{path}' holds no {' or '.join(SUFFIXES)} file")
    return found


@lru_cache(maxsize=2048)
def _vertices(file: Path, scale: float, modified_ns: int) -> Array:
    """Return the vertices of a file's convex hull; what was read is kept while it is unmodified."""
    readers = {".obj": _read_obj, ".stl": _read_stl}
    if file.suffix.lower() not in readers:
        raise ValueError(f"'{file}' is none of {', '.join(SUFFIXES)}")
    try:
        points = readers[file.suffix.lower()](file.read_bytes())
    except (ValueError, struct.error) as error:
        raise ValueError(f"'{file}' cannot be read as {file.suffix}: {error}") from error
    if len(points) < 4 or not np.isfinite(points).all():
        raise ValueError(f"'{file}' has {len(points)} vertices, or some that are not finite")
    try:
        hull = points[ConvexHull(points).vertices] * scale
        vertices, _, _ = principal_hull(_fewer(hull))
    except QhullError as error:
        raise ValueError(f"'{file}' is flat: it has no volume") from error
    return vertices


def _fewer(points: Array) -> Array:
    """Return at most 64 of the points, those farthest in directions that are spread evenly."""
    if len(points) <= MOST_VERTICES:
        return points
    # a spiral of Fibonacci
    k = np.arange(MOST_VERTICES) + 0.5
    z, turn = 1 - 2 * k / MOST_VERTICES, np.pi * (1 + np.sqrt(5)) * k
    across = np.sqrt(1 - z**2)
    directions = np.stack([across * np.cos(turn), across * np.sin(turn), z])
    scaled = (points - points.mean(axis=0)) / np.ptp(points, axis=0)
    kept: Array = points[np.unique((scaled @ directions).argmax(axis=0))]
    return kept


def _read_obj(data: bytes) -> Array:
    lines = data.decode(errors="replace").splitlines()
    rows = [line.split()[1:4] for line in lines if line.startswith("v ")]
    if any(len(row) < 3 for row in rows):
        raise ValueError("a vertex has less than three coordinates")
    return np.array(rows, np.float64).reshape(-1, 3)


def _read_stl(data: bytes) -> Array:
    # files in binary may begin with "solid", too: their length tells
    if len(data) >= 84:
        (count,) = struct.unpack_from("<I", data, 80)
        if len(data) == 84 + count * _TRIANGLE.itemsize:
            corners = np.frombuffer(data, _TRIANGLE, offset=84)["corners"]
            return np.unique(corners.reshape(-1, 3), axis=0).astype(np.float64)
    words = [line.split() for line in data.decode(errors="replace").splitlines()]
    rows = [row[1:4] for row in words if row[:1] == ["vertex"]]
    return np.array(rows, np.float64).reshape(-1, 3)
