"""Mass properties against MuJoCo's own, and lines of the catalog of things."""

import mujoco
import numpy as np
import pytest

from troupe.robots.solids import BOX, MESH, SPHERE, HullPool, Solid, joined
from troupe.tasks.grasp.objects import MAKERS, NUM_TRAIN, numbers_of, thing

NAMES = {2: "sphere", 3: "capsule", 5: "cylinder", 6: "box", 7: "mesh"}


def text(values) -> str:
    return " ".join(repr(float(v)) for v in np.ravel(values))


def compiled(solid: Solid) -> mujoco.MjModel:
    """The solid as a body whose mass properties MuJoCo works out."""
    geoms, asset = "", ""
    for kind, size, pos, quat in zip(
        solid.types, solid.sizes, solid.positions, solid.quaternions, strict=True
    ):
        shape = 'mesh="hull"' if kind == MESH else f'size="{text(size)}"'
        place = f'pos="{text(pos)}" quat="{text(quat)}"'
        geoms += f'<geom type="{NAMES[int(kind)]}" density="1000" {shape} {place}/>'
    if solid.hull >= 0:
        points = text(HullPool.default().vertices[solid.hull])
        asset = f'<asset><mesh name="hull" vertex="{points}"/></asset>'
    world = f"<worldbody><body><freejoint/>{geoms}</body></worldbody>"
    return mujoco.MjModel.from_xml_string(f"<mujoco>{asset}{world}</mujoco>")


@pytest.mark.parametrize("number", range(3 * len(MAKERS)))
def test_mass_and_inertia_are_mujocos_and_the_frame_is_principal(number: int) -> None:
    solid = thing(number).solid
    body = compiled(solid).body(1)
    np.testing.assert_allclose(body.mass, 1000 * solid.volume_m3)
    np.testing.assert_allclose(body.ipos, 0, atol=1e-9)
    np.testing.assert_allclose(np.sort(body.inertia), np.sort(solid.inertia_m2 * body.mass), 1e-4)
    # its main axes are those of the frame, in whatever order
    turn = np.empty(9)
    mujoco.mju_quat2Mat(turn, body.iquat)
    axes = turn.reshape(3, 3)
    inertia = axes @ np.diag(body.inertia) @ axes.T
    np.testing.assert_allclose(inertia, np.diag(solid.inertia_m2 * body.mass), atol=1e-9)


def test_half_sizes_of_a_box_are_its_own_and_of_a_sphere_those_of_a_box_as_hard_to_turn() -> None:
    box = joined([(BOX, (0.02, 0.03, 0.01), None, None)])
    np.testing.assert_allclose(box.half_size_m, [0.01, 0.02, 0.03])
    # 2/5 r^2 = 2/3 a^2
    ball = joined([(SPHERE, (0.02, 0, 0), None, None)])
    np.testing.assert_allclose(ball.half_size_m, [0.02 * np.sqrt(0.6)] * 3)


def test_a_number_is_always_the_same_thing() -> None:
    first = thing(123)
    thing.cache_clear()
    again = thing(123)
    np.testing.assert_array_equal(first.solid.sizes, again.solid.sizes)
    assert (first.kind, first.mass_kg) == (again.kind, again.mass_kg)


def test_training_and_test_share_no_thing() -> None:
    train, test = numbers_of("train"), numbers_of("test")
    assert not set(train) & set(test)
    assert set(train) | set(test) == set(numbers_of("all"))
    assert len(train) == NUM_TRAIN


def test_all_things_stay_within_the_reach_where_contacts_are_looked_for() -> None:
    for number in numbers_of("all"):
        solid = thing(number).solid
        reach = np.linalg.norm(solid.positions, axis=1) + solid.part_radii_m
        assert reach.max() <= solid.radius_m + 1e-12 < 0.1
