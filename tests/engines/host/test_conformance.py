from collections.abc import Callable

import numpy as np
import pytest

from troupe.engines import conformance
from troupe.engines.base import ConcurrentEngine, Engine
from troupe.engines.conformance import CHECKS, Case, check_engine
from troupe.engines.host import open_engine
from troupe.engines.host.grpc_server import EngineService
from troupe.engines.mujoco_camera_settings import CameraEngine
from troupe.engines.mujoco_settings import MujocoSettings

Check = Callable[[Case], None]
TELLING = (
    conformance.check_spec,
    conformance.check_unknown_packs,
    conformance.check_write_of_some,
    conformance.check_snapshot_is_exact,
)
OTHERS = tuple(check for check in CHECKS if check not in TELLING)


def arm(host: str) -> Case:
    settings = MujocoSettings(robot="scara", host=host)
    return Case(
        lambda instances, threads: open_engine(settings, "arm", instances, threads),
        drive={"joint_target": None},
    )


@pytest.mark.parametrize("check", CHECKS, ids=lambda check: check.__name__)
def test_an_engine_in_another_process_conforms(check: Check) -> None:
    check_engine(arm("process"), (check,))


@pytest.mark.parametrize("check", TELLING, ids=lambda check: check.__name__)
def test_an_engine_behind_grpc_conforms(check: Check, service: EngineService) -> None:
    check_engine(arm(service.address), (check,))


@pytest.mark.slow
@pytest.mark.parametrize("check", OTHERS, ids=lambda check: check.__name__)
def test_an_engine_behind_grpc_conforms_wholly(check: Check, service: EngineService) -> None:
    check_engine(arm(service.address), (check,))


def trajectory(engine: Engine) -> list[dict[str, np.ndarray]]:
    """Use everything that an engine can do."""
    rng = np.random.default_rng(0)
    some = np.array([1, 3])
    engine.reset(range(4))
    engine.advance(0)
    seen = [conformance.packs(engine)]
    for step in range(6):
        engine.write("joint_target", rng.uniform(-1, 1, (4, 3)))
        engine.write("joint_target", rng.uniform(-1, 1, 3), some)
        engine.write("qvel", rng.uniform(-1, 1, (2, 3)), some)
        # the same memory as the target, in turns
        engine.write("ctrl", rng.uniform(-1, 1, (1, 3)), np.array([0]))
        engine.write("joint_target", 0.25, np.array([0, 2]))
        engine.advance(20_000_000)
        seen.append(conformance.packs(engine))
        if step == 2:
            snapshot = engine.snapshot()
            seen.append(snapshot)
            engine.reset([7, 8], some)
            engine.advance(0, some)
            seen.append(conformance.packs(engine))
            engine.advance(10_000_000, some)
            seen.append(conformance.packs(engine))
        if step == 4:
            engine.restore(snapshot, np.array([0]))
            seen.append(conformance.packs(engine))
    engine.close()
    return seen


@pytest.mark.parametrize("transport", ["process", "grpc"])
def test_an_engine_elsewhere_does_bitwise_the_same_as_here(
    transport: str, service: EngineService
) -> None:
    packs = {
        "ctrl": {"kind": "actuator", "names": ["joint1", "joint2", "joint3"], "field": "ctrl"},
        "qvel": {"kind": "joint", "names": ["joint1", "joint2", "joint3"], "field": "qvel"},
    }
    host = service.address if transport == "grpc" else transport
    settings = MujocoSettings.model_validate({"robot": "scara", "packs": packs})
    elsewhere = open_engine(settings.model_copy(update={"host": host}), "arm", 4, 1)
    assert isinstance(elsewhere, ConcurrentEngine)
    assert not isinstance(elsewhere, CameraEngine)
    expected = trajectory(open_engine(settings, "arm", 4, 1))
    for step, (now, then) in enumerate(zip(trajectory(elsewhere), expected, strict=True)):
        assert now.keys() == then.keys()
        for name, values in then.items():
            assert now[name].dtype == values.dtype
            assert np.array_equal(now[name], values), f"{name} at {step}"
