"""What a camera sees around a grasp, in a real tray."""

import numpy as np
import pytest

from troupe.core.errors import UserError
from troupe.experiments.load import load_experiment
from troupe.experiments.simulation import Simulation
from troupe.fleet.collecting.grasp_view import GraspView
from troupe.robots.tray import TRAY

ASKEW = "engines.arm.cameras.askew={position: [0.55, 0.2, 1.1], target: [0.6, 0, 0], fovy: 26}"


def settled(camera: str = "overhead", *overrides: str) -> tuple[Simulation, GraspView]:
    """Eight trays in the moment in which the attempt is chosen, and the view of their camera."""
    experiment = load_experiment("iiwa-grasp", [f"task.image={camera}.depth", *overrides])
    simulation = Simulation(experiment, 8, seed=5, num_threads=1)
    simulation.reset()
    while not simulation.task.decides(simulation.world).any():
        simulation.step(np.zeros((8, 4)))
    return simulation, GraspView.of(experiment, camera)


@pytest.fixture(scope="module")
def tray() -> tuple[Simulation, GraspView]:
    return settled()


def test_it_knows_when_and_what_actions_mean(tray: tuple[Simulation, GraspView]) -> None:
    simulation, view = tray
    assert simulation.episode_step[0] * simulation.loop.step_ns == view.decides_ns
    action = np.random.default_rng(0).uniform(-1, 1, (8, 4))
    grasp = view.grasps(action)
    np.testing.assert_allclose(view.actions(grasp), action)
    simulation.step(action)
    target = simulation.world.arrays["grasp_target"]
    np.testing.assert_allclose(target, grasp + [0, 0, TRAY.floor_m, 0])


@pytest.mark.parametrize(("camera", "overrides"), [("overhead", []), ("askew", [ASKEW])])
def test_points_lie_on_the_floor_and_on_things(camera: str, overrides: list[str]) -> None:
    simulation, view = settled(camera, *overrides)
    depth, world = simulation.observe(), simulation.world
    # as the engine itself says where its camera is
    pose, K = world.read(f"arm.{camera}.pose"), world.read(f"arm.{camera}.intrinsics")
    known = np.column_stack([view.rotation_w, view.position_w])
    np.testing.assert_allclose(pose[:, :3], np.tile(known, (8, 1, 1)), atol=1e-6)
    np.testing.assert_allclose(K[:, 0, 0], 1 / view.pixel_size, rtol=1e-6)
    points = view.points(depth)
    inside = (np.abs(points[..., :2] - TRAY.centre_m) < np.array(TRAY.half_size_m) - 0.01).all(-1)
    heights = view.heights(depth)[inside]
    assert np.abs(np.median(heights)) < 1e-3
    assert (heights > -2e-3).all()
    assert 0.02 < heights.max() < 0.15


def test_it_looks_where_the_hand_closes() -> None:
    simulation, view = settled()
    depth, pose = simulation.observe(), simulation.world.read("arm.object_pose")[:, 0]
    grasp = np.zeros((8, 2, 4))
    grasp[:, :, :2] = pose[:, None, :2]
    grasp[:, 1, 3] = np.pi / 2
    seen = view.patches(depth, grasp)
    assert seen.shape == (8, 2, 20, 20)
    # something stands there, about twice as high as its middle
    tops_m = seen[:, :, 9:11, 9:11].max(axis=(2, 3))
    assert (tops_m > 0.5 * (pose[:, None, 2] - TRAY.floor_m)).all()
    # a quarter turn turns what is seen
    np.testing.assert_allclose(seen[:, 1], np.rot90(seen[:, 0], -1, axes=(1, 2)), atol=0.0075)


@pytest.mark.parametrize(
    ("source", "overrides", "camera", "message"),
    [
        ("scara-reach", [], "overhead", "'scara-reach' has no task 'grasp'"),
        ("iiwa-grasp", [], "front", "unknown camera 'front'"),
        (
            "iiwa-grasp",
            ["engines.arm.cameras.hand={position: [0,0,0], target: [0,0,1], body: hand}"],
            "hand",
            "has no place that is known",
        ),
    ],
)
def test_what_it_cannot_know_is_named(
    source: str, overrides: list[str], camera: str, message: str
) -> None:
    with pytest.raises(UserError, match=message):
        GraspView.of(load_experiment(source, overrides), camera)
