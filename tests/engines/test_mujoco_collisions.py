"""What touches a robot in one instance's world, and what does not count."""

import mujoco
import numpy as np
import pytest

from troupe.core.errors import UserError
from troupe.engines.mujoco import MujocoEngine
from troupe.engines.mujoco_settings import MujocoSettings
from troupe.robots.iiwa import ROBOT
from troupe.robots.kinematics import solve_pose

ASIDE = (0.0, 2.0, 0.2, 1.0, 0.0, 0.0, 0.0)


@pytest.fixture(scope="module")
def engine() -> MujocoEngine:
    settings = MujocoSettings(robot="iiwa", scene={"type": "tray", "objects": 1})
    made = settings.build("arm", 2, 1)
    made.reset([0, 0])
    made.write("object_pose", [[ASIDE], [(0.58, 0.046, 0.17, 1.0, 0.0, 0.0, 0.0)]])
    made.write("object_weightless", np.ones((2, 1)))
    sizes = np.full((2, 1, 4, 3), 0.01)
    made.write("object_sizes", sizes)
    made.write("object_radii", np.full((2, 1, 4), 0.02))
    made.advance(0)
    return made


def test_a_checker_knows_the_world_of_its_instance(engine: MujocoEngine) -> None:
    home = ROBOT.home[None]
    assert engine.collision_checker(0)(home).tolist() == [True]
    checker = engine.collision_checker(1)
    assert checker(home).tolist() == [False]
    pairs = checker.touching(ROBOT.home)
    names = {name for pair in pairs for name in pair[:2]}
    assert names & {"left_finger", "right_finger"}
    assert any(name.startswith("object0_part") for name in names)
    assert [pair[2] for pair in pairs] == sorted(pair[2] for pair in pairs)
    assert engine.collision_checker(1, ignore=["object0"])(home).tolist() == [True]


def test_the_tray_the_floor_and_the_arm_itself_count_but_not_what_touches_without_it(
    engine,
) -> None:
    checker = engine.collision_checker(0)
    above = ROBOT.tool_pose(ROBOT.home)
    heights = [0.06, 0.02, -0.02]
    poses = np.repeat(above[None], 3, axis=0)
    poses[:, 0, 3], poses[:, 2, 3] = 0.6, heights
    angles, reached = solve_pose(ROBOT, poses, ROBOT.home)
    assert reached.all()
    # the fingers end 5 mm below the tool, over a floor of the tray at 10 mm
    assert checker(angles).tolist() == [True, True, False]
    pairs = checker.touching(angles[2])
    assert {"tray"} <= {name for pair in pairs for name in pair[:2]}
    folded = np.array([0.0, -1.3, 0.0, 2.08, 0.0, -1.42, -2.25])
    assert not checker(folded[None])[0]
    assert checker.touching(folded)[0][:2] == ("base", "left_finger")


def test_clearance_counts_to_other_things_only(engine: MujocoEngine) -> None:
    pose = ROBOT.tool_pose(ROBOT.home)[None].copy()
    pose[:, 0, 3], pose[:, 2, 3] = 0.6, 0.02  # 5 mm over the tray's floor
    angles, _ = solve_pose(ROBOT, pose, ROBOT.home)
    assert engine.collision_checker(0, clearance_m=0.003)(angles)[0]
    assert not engine.collision_checker(0, clearance_m=0.008)(angles)[0]
    # base and first link are 7.5 mm apart in any pose
    assert engine.collision_checker(0, clearance_m=0.05)(ROBOT.home[None])[0]


def test_many_at_once_are_as_one_by_one_and_as_mujocos_own_contacts(engine) -> None:
    angles = np.random.default_rng(0).uniform(*ROBOT.position_limits, (100, 7))
    checker = engine.collision_checker(0)
    free = checker(angles)
    assert 10 < free.sum() < 95
    assert free.tolist() == [checker(q[None])[0] for q in angles]
    model = engine.batch.get_model(0)
    data = mujoco.MjData(model)
    data.qpos[:] = engine.batch.bind("qpos")[0]
    others = {model.geom(name).id for name in ("floor", "tray", "tray_near", "tray_far")}
    others |= {model.geom(name).id for name in ("tray_left", "tray_right")}
    others |= {i for i in range(model.ngeom) if model.geom(i).name.startswith("object")}
    for q, is_free in zip(angles, free, strict=True):
        data.qpos[:7] = q
        mujoco.mj_forward(model, data)
        touches = [c for c in data.contact if not set(c.geom.tolist()) <= others]
        assert is_free == (not touches)


def test_what_there_is_not_is_told(engine: MujocoEngine) -> None:
    with pytest.raises(UserError, match=r"unknown body 'objekt0'. Did you mean 'object0'\?"):
        engine.collision_checker(ignore=["objekt0"])
    for instance in (-1, 2):
        message = rf"engines\.arm: there is no instance {instance}; valid: 0 to 1"
        with pytest.raises(UserError, match=message):
            engine.collision_checker(instance)
    alone = MujocoSettings(model=ROBOT.model_path).build("arm", 1, 1)
    with pytest.raises(UserError, match=r"engines\.arm: a model without 'robot' has no joints"):
        alone.collision_checker()
