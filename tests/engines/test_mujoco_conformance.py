from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from troupe.core.settings import validated
from troupe.engines.conformance import CHECKS, Case, check_engine
from troupe.engines.mujoco_settings import MujocoSettings

EACH_CHECK = pytest.mark.parametrize("check", CHECKS, ids=lambda check: check.__name__)
Check = Callable[[Case], None]


def case(drive: Any = None, step_ns: int | None = None, **settings: Any) -> Case:
    parsed = validated(MujocoSettings, settings)
    return Case(lambda instances, threads: parsed.build("arm", instances, threads), drive, step_ns)


@EACH_CHECK
@pytest.mark.parametrize("robot", ["scara", "mara"])
def test_robots_conform(robot: str, check: Check) -> None:
    check_engine(case(robot=robot, drive={"joint_target": None}), (check,))


@EACH_CHECK
def test_a_robot_whose_states_are_written_conforms(check: Check) -> None:
    check_engine(case(robot="mara"), (check,))


@EACH_CHECK
def test_steps_that_do_not_fit_into_the_loops_conform(check: Check) -> None:
    drive = {"joint_target": None}
    check_engine(case(robot="scara", timestep="1/240s", drive=drive, step_ns=10**7), (check,))


@EACH_CHECK
def test_an_mjcf_file_with_contacts_conforms(mjcf: Path, check: Check) -> None:
    check_engine(case(model=mjcf, drive={"ctrl": None}), (check,))


@EACH_CHECK
def test_a_urdf_file_conforms(urdf: Path, check: Check) -> None:
    check_engine(case(model=urdf, drive={"qvel": (-1.0, 1.0)}), (check,))


@EACH_CHECK
def test_model_parameters_conform(check: Check) -> None:
    packs = {
        "mass": {"kind": "body", "names": ["link1", "link2"], "field": "mass", "unit": "kg"},
        "damping": {"kind": "joint", "names": "joint1", "field": "damping"},
        "gain": {"kind": "actuator", "names": "joint3", "field": "gainprm"},
    }
    drive = {
        "joint_target": None,
        "mass": (0.1, 3.0),
        "damping": (0.1, 2.0),
        "gain": (50.0, 200.0),
    }
    check_engine(case(robot="scara", packs=packs, drive=drive), (check,))
