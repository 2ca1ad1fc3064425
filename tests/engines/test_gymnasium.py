from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import gymnasium
import numpy as np
import pytest

from troupe.core import UserError
from troupe.engines.conformance import CHECKS, Case, check_engine
from troupe.engines.gymnasium import GymnasiumEngine
from troupe.engines.gymnasium_settings import GymnasiumSettings

EXCEPTIONS = {
    "check_time_is_exact": "the reward is the sum over one advance, so it depends on its length"
}


def build(id: str, num_instances: int = 3, **settings: Any) -> GymnasiumEngine:
    return GymnasiumSettings(id=id, **settings).build("env", num_instances, 1)


@pytest.mark.parametrize("check", CHECKS, ids=lambda check: check.__name__)
@pytest.mark.parametrize(
    ("id", "step_ns"),
    [
        ("HalfCheetah-v5", 50_000_000),
        ("Reacher-v5", 20_000_000),
        ("Pendulum-v1", 50_000_000),
        ("CartPole-v1", 20_000_000),
    ],
)
def test_conforms(id: str, step_ns: int, check: Callable[[Case], None]) -> None:
    check_engine(Case(lambda n, _: build(id, n), step_ns=step_ns, exceptions=EXCEPTIONS), (check,))


@pytest.mark.parametrize("id", ["HalfCheetah-v5", "CartPole-v1"])
def test_does_the_same_as_the_environments(id: str) -> None:
    engine, envs = build(id), [gymnasium.make(id) for _ in range(3)]
    step_ns = round(engine.spec.timestep_ns)
    engine.reset([5, 6, 7])
    for i, env in enumerate(envs):
        observation, _ = env.reset(seed=5 + i)
        assert np.array_equal(engine.read("observation")[i], observation)
        env.action_space.seed(i)
    for _ in range(10):
        actions = [env.action_space.sample() for env in envs]
        engine.write("action", actions)
        engine.advance(step_ns)
        for i, env in enumerate(envs):
            observation, reward, terminated, truncated, _ = env.step(actions[i])
            assert np.array_equal(engine.read("observation")[i], observation)
            assert engine.read("reward")[i] == reward
            assert engine.read("terminated")[i] == terminated
            assert engine.read("truncated")[i] == truncated


def test_time_step_is_the_environments() -> None:
    assert build("HalfCheetah-v5").spec.timestep_ns == 50_000_000
    assert build("CartPole-v1").spec.timestep_ns == 20_000_000
    assert build("CartPole-v1", timestep="10ms").spec.timestep_ns == 10_000_000


def test_several_steps_in_one_advance_add_their_rewards() -> None:
    engine = build("CartPole-v1")
    engine.reset([0, 1, 2])
    engine.advance(60_000_000)
    assert engine.read("reward").tolist() == [3, 3, 3]


def test_an_instance_that_has_ended_waits_for_its_reset() -> None:
    engine = build("CartPole-v1")
    engine.reset([0, 1, 2])
    for _ in range(15):
        engine.write("action", 1)
        engine.advance(20_000_000)
    assert engine.read("terminated").all()
    fallen = engine.read("observation").copy()
    engine.advance(20_000_000)
    assert np.array_equal(engine.read("observation"), fallen)
    assert engine.read("reward").tolist() == [0, 0, 0]
    engine.reset([4], np.array([1]))
    assert engine.read("terminated").tolist() == [True, False, True]


class Strange(gymnasium.Env[Any, Any]):
    """Ends or breaks when it is told to; its categories begin at 5."""

    observation_space = gymnasium.spaces.Box(-np.inf, np.inf, (1,), np.float64)
    action_space = gymnasium.spaces.Discrete(4, start=5)

    def reset(
        self, *, seed: int | None = None, options: dict[str, Any] | None = None
    ) -> tuple[Any, dict[str, Any]]:
        super().reset(seed=seed)
        return np.array([float(seed or 0)]), {}

    def step(self, action: int) -> tuple[Any, float, bool, bool, dict[str, Any]]:
        assert self.action_space.contains(action)
        observation = np.array([np.nan if action == 8 else 1.0])
        return observation, 1.0, bool(action == 6), bool(action == 7), {}


@pytest.fixture
def strange() -> Iterator[str]:
    gymnasium.register("Strange-v0", Strange)
    yield "Strange-v0"
    del gymnasium.registry["Strange-v0"]


def test_ends_of_both_kinds_and_failures_stay_with_their_instance(strange: str) -> None:
    engine = build(strange, 4)
    engine.reset([10, 11, 12, 13])
    engine.write("action", [0, 1, 2, 3])
    engine.advance(20_000_000)
    assert engine.read("terminated").tolist() == [False, True, False, False]
    assert engine.read("truncated").tolist() == [False, False, True, False]
    assert engine.read("observation")[:, 0].tolist() == [1, 1, 1, 13]
    (fault,) = engine.faults()
    assert (fault.instance, fault.reason) == (3, "observation or reward is not finite")
    assert fault.last_state["seed"] == 13
    assert fault.last_state["actions"].tolist() == [3]


def test_a_snapshot_of_a_long_episode_is_exact() -> None:
    engine = build("Pendulum-v1", 2)
    engine.reset([0, 1])
    rng = np.random.default_rng(0)
    for step in range(150):
        engine.write("action", rng.uniform(-2, 2, (2, 1)))
        engine.advance(50_000_000)
        if step == 40:
            engine.reset([9], np.array([1]))
    snapshot, expected = engine.snapshot(), engine.read("observation").copy()
    assert snapshot["num_acted"].tolist() == [150, 109]
    other = build("Pendulum-v1", 2)
    other.restore(snapshot)
    assert np.array_equal(other.read("observation"), expected)


@pytest.mark.parametrize(
    ("id", "message"),
    [
        ("HalfChetah-v5", "unknown Gymnasium environment 'HalfChetah-v5'. Nearest: HalfCheetah-v5"),
        ("HalfCheetah-v9", "'HalfCheetah-v9' cannot be made: .* `v5`"),
        ("none:Such-v0", "'none:Such-v0' cannot be made: No module named 'none'"),
        ("FrozenLake-v1", r"observations are Discrete\(16\). Supported: Box of one axis"),
        ("Blackjack-v1", r"observations are Tuple\(.*\). Supported: Box of one axis"),
    ],
)
def test_environments_that_do_not_exist_or_fit_are_refused(id: str, message: str) -> None:
    with pytest.raises(UserError, match=f"engines.env.id: .*{message}"):
        build(id)


def test_wrong_arguments_of_an_environment_are_refused() -> None:
    with pytest.raises(UserError, match=r"'Pendulum-v1' cannot be made: .* unexpected keyword"):
        build("Pendulum-v1", kwargs={"graviti": 9.81})


def test_actions_of_several_categories_are_refused() -> None:
    class Several(Strange):
        action_space = gymnasium.spaces.MultiDiscrete([2, 2])  # type: ignore[assignment]

    gymnasium.register("Several-v0", Several)
    try:
        with pytest.raises(UserError, match=r"actions are MultiDiscrete.*Supported: Discrete, and"):
            build("Several-v0")
    finally:
        del gymnasium.registry["Several-v0"]


def test_models_of_gymnasium_leave_no_log_behind(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capfd: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.chdir(tmp_path)
    build("HalfCheetah-v5").close()
    assert list(tmp_path.iterdir()) == []
    assert capfd.readouterr().err == ""
