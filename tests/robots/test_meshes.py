"""Mesh files become convex bodies of few vertices, whatever their format."""

import struct
from itertools import product
from pathlib import Path

import numpy as np
import pytest

from troupe.robots.meshes import MOST_VERTICES, load_meshes
from troupe.robots.solids import convex_body

BRICK = np.array(list(product((0, 4), (0, 6), (0, 2))), float)  # 4 x 6 x 2, off the middle
# the corners of the triangles do not matter to a convex hull, only that all vertices occur
TRIANGLES = np.array([[BRICK[i], BRICK[(i + 1) % 8], BRICK[(i + 3) % 8]] for i in range(8)])


def as_obj(points: np.ndarray) -> bytes:
    return (
        "".join(f"v {x} {y} {z} 0.5 0.5 0.5\n" for x, y, z in points).encode()
        + b"vt 1 1\nf 1 2 3\n"
    )


def as_binary_stl(triangles: np.ndarray) -> bytes:
    rows = [struct.pack("<12fH", 0, 0, 1, *corners.ravel(), 0) for corners in triangles]
    return b"solid, they say".ljust(80) + struct.pack("<I", len(rows)) + b"".join(rows)


def as_text_stl(triangles: np.ndarray) -> bytes:
    corners = [f"vertex {x} {y} {z}" for x, y, z in triangles.reshape(-1, 3)]
    return "\n".join(["solid brick", *corners, "endsolid"]).encode()


@pytest.mark.parametrize(
    ("name", "data"),
    [
        ("brick.obj", as_obj(BRICK)),
        ("brick.stl", as_binary_stl(TRIANGLES)),
        ("brick.STL", as_text_stl(TRIANGLES)),
    ],
)
def test_a_brick_is_a_brick_in_its_principal_frame(tmp_path: Path, name: str, data: bytes) -> None:
    (tmp_path / name).write_bytes(data)
    (mesh,) = load_meshes([tmp_path / name], 0.01)
    assert mesh.name == name
    # it turns least easily about its shortest side, which comes first
    np.testing.assert_allclose(mesh.size_m, [0.02, 0.04, 0.06])
    assert mesh.size_text == "0.02 x 0.04 x 0.06 m"
    np.testing.assert_allclose(mesh.radius_m, np.linalg.norm([0.01, 0.02, 0.03]))
    np.testing.assert_allclose(mesh.width_m, 0.02)
    _, volume, centre, inertia = convex_body(mesh.vertices)
    np.testing.assert_allclose(volume, 0.02 * 0.04 * 0.06)
    np.testing.assert_allclose(centre, 0, atol=1e-15)
    sides = np.array([0.02, 0.04, 0.06]) ** 2
    np.testing.assert_allclose(inertia, np.diag(sides.sum() - sides) / 12, atol=1e-15)


def test_of_many_vertices_few_are_kept_that_fill_nearly_the_same_room(tmp_path: Path) -> None:
    points = np.random.default_rng(0).standard_normal((2000, 3))
    points *= [0.03, 0.02, 0.01] / np.linalg.norm(points, axis=1, keepdims=True)
    (tmp_path / "egg.obj").write_bytes(as_obj(points))
    (mesh,) = load_meshes([tmp_path / "egg.obj"], 1.0)
    assert len(mesh.vertices) <= MOST_VERTICES
    np.testing.assert_allclose(mesh.size_m, [0.02, 0.04, 0.06], rtol=0.05)
    assert 0.75 < convex_body(mesh.vertices)[1] / (4 / 3 * np.pi * 6e-6) < 1


def test_folders_are_read_in_order_and_same_names_told_apart(tmp_path: Path) -> None:
    for name in ("b/one.obj", "a/one.obj", "a/two.obj", "a/readme.txt"):
        (tmp_path / name).parent.mkdir(exist_ok=True)
        (tmp_path / name).write_bytes(as_obj(BRICK))
    names = [mesh.name for mesh in load_meshes([tmp_path], 1.0)]
    assert names == ["a/one.obj", "two.obj", "b/one.obj"]


@pytest.mark.parametrize(
    ("name", "data", "message"),
    [
        ("a.obj", b"v 1 2\n", "cannot be read as .obj: a vertex has less than three"),
        ("a.obj", b"v 1 2 x\n" * 4, "cannot be read as .obj: could not convert string"),
        ("a.obj", b"", "has 0 vertices"),
        ("a.stl", b"vertex 0 0 0\n" * 3, "has 3 vertices"),
        ("a.obj", b"v 0 0 nan\n" * 4, "has 4 vertices, or some that are not finite"),
        ("a.obj", as_obj(BRICK * [1, 1, 0]), "is flat: it has no volume"),
        ("a.ply", b"", "is none of .obj, .stl"),
    ],
)
def test_what_is_no_mesh_is_told(tmp_path: Path, name: str, data: bytes, message: str) -> None:
    (tmp_path / name).write_bytes(data)
    with pytest.raises(ValueError, match=rf"a\.\w+' {message}"):
        load_meshes([tmp_path / name], 1.0)


def test_a_folder_without_meshes_is_told(tmp_path: Path) -> None:
    with pytest.raises(ValueError, match=r"holds no \.obj or \.stl file"):
        load_meshes([tmp_path], 1.0)
