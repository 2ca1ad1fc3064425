from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from troupe.core.errors import FunctionError, UserError
from troupe.experiments.load import build_experiment
from troupe.experiments.simulation import Simulation

ENGINE = """
import numpy as np

from troupe.engines.script import Script, pack


class Cart(Script):
    push = pack(2, low=-3.0, high=5.0)
    inputs = {"force": push, "brake": pack(), "place": pack(unit="m"), "words": pack(object)}
    outputs = {"force": push, "position": pack((2, 1), unit="m"), "is_far": pack(dtype=bool)}
    state = ("x",)

    def setup(self):
        self.x = np.zeros((self.num_instances, 2))

    def step(self, duration_ns):
        self.x += self.force * duration_ns * 1e-9
        self.position = self.x[:, :, None]
        self.is_far = np.abs(self.x[:, 0]) > 0.25
"""

TASK = """
import numpy as np

from troupe.tasks.script import ScriptTask


class Push(ScriptTask):
    observations = ("cart.position", "goal")
    actions = {"cart.force": (-2.0, 6.0)}

    def setup(self, world, scale=1.0):
        self.scale = scale
        world.arrays["goal"] = np.zeros((world.num_instances, 1))

    def reset(self, world, instances, rng):
        world.arrays["goal"][instances, 0] = [r.uniform(1, 2) for r in rng]

    def reward(self, world, action):
        return -self.scale * np.abs(world.read("cart.position")[:, 0, 0])
"""

Make = Callable[..., Simulation]


@pytest.fixture
def make(tmp_path: Path) -> Make:
    def make(task: str = TASK, num_instances: int = 3, **settings: Any) -> Simulation:
        (tmp_path / "engine.py").write_text(ENGINE)
        (tmp_path / "task.py").write_text(task)
        description = {
            "name": "cart",
            "directory": str(tmp_path),
            "engines": {"cart": {"type": "script", "file": "engine.py"}},
            "loop": {"step": "100ms"},
            "task": {"type": "script", "file": "task.py", "episode": "500ms", **settings},
        }
        return Simulation(build_experiment(description), num_instances, seed=4)

    return make


def test_packs_and_own_arrays_are_observed_one_after_the_other(make: Make) -> None:
    simulation = make()
    simulation.reset()
    assert simulation.observation_spec.shape == (3,)
    step = simulation.step(np.zeros((3, 2), np.float32))
    goal = simulation.world.arrays["goal"]
    assert step.observation.dtype == np.float32
    # in the middle of -2 .. 6 for 0.1 s
    np.testing.assert_allclose(step.observation, np.column_stack([np.full((3, 2), 0.2), goal]))
    assert len(np.unique(goal)) == 3


def test_actions_are_scaled_from_one_to_the_bounds_and_clipped(make: Make) -> None:
    simulation = make()
    simulation.reset()
    assert simulation.action_spec.shape == (2,)
    simulation.step(np.array([[-1.0, 1.0], [0.5, -9.0], [9.0, 0.0]]))
    expected = [[-2.0, 6.0], [4.0, -2.0], [6.0, 2.0]]
    np.testing.assert_allclose(simulation.world.read("cart.force"), expected)


def test_without_bounds_of_their_own_actions_have_those_of_the_pack(make: Make) -> None:
    simulation = make(TASK.replace("(-2.0, 6.0)", "None"))
    simulation.reset()
    simulation.step(np.array([[-1.0, 1.0]] * 3))
    np.testing.assert_allclose(simulation.world.read("cart.force"), [[-3.0, 5.0]] * 3)


def test_parameters_reach_the_task_and_episodes_have_the_given_limit(make: Make) -> None:
    simulation = make(parameters={"scale": 10.0})
    simulation.reset()
    steps = [simulation.step(np.zeros((3, 2))) for _ in range(5)]
    np.testing.assert_allclose(steps[0].reward, -2.0)
    assert [bool(s.truncated.all()) for s in steps] == [False] * 4 + [True]
    assert not any(s.terminated.any() for s in steps)
    assert simulation.metrics() == {}


def test_a_task_may_end_episodes_and_give_figures(make: Make) -> None:
    simulation = make(
        TASK
        + """
    def terminated(self, world):
        return world.read("cart.is_far")

    def metrics(self, world):
        return {"distance_m": world.read("cart.position")[:, 0, 0]}
"""
    )
    simulation.reset()
    actions = np.array([[0.0, 0.0], [1.0, 0.0], [-1.0, 0.0]])
    assert simulation.step(actions).terminated.tolist() == [False, True, False]
    np.testing.assert_allclose(simulation.metrics()["distance_m"], [0.2, 0.6, -0.2])


def test_a_task_may_observe_and_act_in_its_own_way(make: Make) -> None:
    simulation = make(
        """
import numpy as np

from troupe.core.arrays import ArraySpec
from troupe.tasks.script import ScriptTask


class Own(ScriptTask):
    def setup(self, world):
        self.observation_spec = ArraySpec((1,))
        self.action_spec = ArraySpec((), categories=2)

    def act(self, world, action):
        world.write("cart.force", np.where(action, 1.0, -1.0)[:, None])

    def observe(self, world):
        return world.read("cart.position")[:, 0]

    def reward(self, world, action):
        return action * self.step_s
"""
    )
    simulation.reset()
    step = simulation.step(np.array([0, 1, 1]))
    np.testing.assert_allclose(step.observation, [[-0.1], [0.1], [0.1]])
    assert step.observation.dtype == np.float32
    np.testing.assert_allclose(step.reward, [0.0, 0.1, 0.1])


def test_what_a_step_gave_does_not_change_in_the_next(make: Make) -> None:
    simulation = make(
        TASK.replace("-self.scale * np.abs(world.read(", "(world.read(")
        + "\n    def terminated(self, world):\n        return world.read('cart.is_far')\n"
    )
    simulation.reset()
    first = simulation.step(np.zeros((3, 2)))
    kept = first.reward.copy(), first.terminated.copy()
    second = simulation.step(np.ones((3, 2)))
    assert second.terminated.all()
    np.testing.assert_array_equal(first.reward, kept[0])
    np.testing.assert_array_equal(first.terminated, kept[1])


def test_instances_are_the_same_alone_and_snapshots_exact(make: Make) -> None:
    together = make(num_instances=3)
    together.reset()
    actions = np.random.default_rng(0).uniform(-1, 1, (4, 3, 2))
    together.step(actions[0])
    snapshot = together.snapshot()
    expected = [together.step(a).observation for a in actions[1:]]
    together.restore(snapshot)
    again = [together.step(a).observation for a in actions[1:]]
    np.testing.assert_array_equal(again, expected)
    alone = make(num_instances=1)
    alone.reset()
    found = [alone.step(a[:1]).observation[0] for a in actions]
    np.testing.assert_array_equal(found[1:], np.array(expected)[:, 0])


@pytest.mark.parametrize(
    ("old", "new", "message"),
    [
        ("class Push(ScriptTask)", "class Push", "has no class that derives from"),
        ("def reward", "def rewards", "Push in '.*task.py' has no method 'reward"),
        ('"cart.position", "goal"', '"cart.positon"', "observations: unknown datapack to read"),
        ('"cart.position", "goal"', "", "name packs in 'observations'"),
        ('"cart.force": ', '"cart.forse": ', "actions: unknown .* Did you mean 'cart.force'"),
        ('"cart.force": (-2.0, 6.0)', "", "give packs with bounds in 'actions'"),
        ("(-2.0, 6.0)", "(2.0, -6.0)", "low less than high"),
        ("(-2.0, 6.0)", "3.0", r"give \(low, high\), each of shape \(2,\)"),
        ('"cart.force": (-2.0, 6.0)', '"cart.brake": None', "must be finite"),
        ('"cart.force": (-2.0, 6.0)', '"cart.words": (0, 1)', "is JSON"),
        ("self.scale = scale", "raise KeyError(7)", "Push in '.*' cannot be set up:(.|\n)*KeyErr"),
    ],
)
def test_a_task_that_cannot_be_used_is_the_users_error(
    make: Make, old: str, new: str, message: str
) -> None:
    assert old in TASK
    with pytest.raises(UserError, match=message):
        make(TASK.replace(old, new))


def test_of_several_classes_one_is_named(make: Make) -> None:
    two = TASK + "\n\nclass Pull(Push):\n    actions = {'cart.force': (0, 1)}\n"
    with pytest.raises(UserError, match=r"task.class_name: which class .* Valid: Pull, Push"):
        make(two)
    simulation = make(two, class_name="Pull")
    simulation.reset()
    simulation.step(np.zeros((3, 2)))
    np.testing.assert_allclose(simulation.world.read("cart.force"), 0.5)
    with pytest.raises(UserError, match=r"task.class_name: .*unknown name 'Shove'"):
        make(two, class_name="Shove")


def test_an_error_in_mid_run_names_the_method_and_the_users_line(make: Make) -> None:
    simulation = make(TASK.replace("return -self.scale", "1 / 0\n        return -self.scale"))
    simulation.reset()
    with pytest.raises(FunctionError, match=r"Push in '.*task.py': reward raised:(.|\n)*1 / 0"):
        simulation.step(np.zeros((3, 2)))


def test_a_result_of_a_wrong_shape_is_named(make: Make) -> None:
    simulation = make(TASK.replace("return -self.scale * np.abs", "return action  # "))
    simulation.reset()
    with pytest.raises(
        FunctionError,
        match=r"Push in .*: reward returned an array of \(3, 2\); it must be .* \(3,\)",
    ):
        simulation.step(np.zeros((3, 2)))
