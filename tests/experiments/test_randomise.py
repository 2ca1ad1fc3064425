"""Randomisation as users see it: an experiment's section, through whole simulations."""

from typing import Any

import numpy as np
import pytest

from troupe.core.errors import UserError
from troupe.experiments.load import build_experiment, load_experiment, read_description
from troupe.experiments.schema import Experiment
from troupe.experiments.simulation import Simulation
from troupe.fleet.sampler import Sampler
from troupe.policies import MlpPolicy
from troupe.tasks.arm import ReachTask

STEP = "20ms"
JOINTS = ["joint1", "joint2", "joint3"]
SCALE = {"type": "uniform", "low": 0.5, "high": 1.5}
DAMPING = {"pack": "arm.joint_damping", "operation": "scale", "distribution": SCALE}
EVERYTHING: dict[str, Any] = {
    "damping": DAMPING,
    "kick": {
        "pack": "arm.joint_damping",
        "operation": "add",
        "index": "joint2",
        "distribution": {"type": "gaussian", "deviation": 0.02},
        "mode": "interval",
        "every": "60ms",
    },
    "push": {
        "pack": "arm.joint_damping",
        "operation": "scale",
        "index": "joint3",
        "distribution": {"type": "log-uniform", "low": 0.2, "high": 5},
        "mode": "interval",
        "every": "40ms",
    },
    "gains": {
        "pack": "arm.servo_stiffness",
        "operation": "scale",
        "shared": True,
        "mode": "startup",
        "distribution": {"type": "log-uniform", "low": 0.5, "high": 2},
    },
    "action": {"type": "delay", "of": "action", "steps": [0, 2]},
    "command": {"type": "delay", "of": "arm.joint_target", "side": "command", "steps": [0, 2]},
    "late": {"type": "delay", "of": "arm.joint_velocity", "steps": [0, 3]},
    "latest": {"type": "delay", "of": "observation", "steps": [0, 2]},
    "encoder": {"type": "noise", "of": "arm.joint_position", "deviation": 0.01, "bias": 0.02},
    "noise": {"type": "noise", "of": "observation", "deviation": 0.001, "dropout": 0.01},
}


def experiment(randomise: dict[str, Any], **settings: Any) -> Experiment:
    """A reaching arm with episodes of 12 steps; joint speeds are the last that its policy sees."""
    description = read_description("scara-reach")
    description["loop"] = {"step": STEP}
    task = {"episode": "240ms", **settings.pop("task", {})}
    description["task"] = {**description["task"], **task}
    return build_experiment({**description, "randomise": randomise, **settings})


def simulate(randomise: dict[str, Any], num_instances: int = 3, **settings: Any) -> Simulation:
    simulation = Simulation(experiment(randomise, **settings), num_instances, seed=3, num_threads=1)
    simulation.reset()
    return simulation


def action(step: int, ids: range) -> np.ndarray:
    return np.array([np.random.default_rng((i, step)).uniform(-1, 1, 3) for i in ids])


def run(simulation: Simulation, steps: range) -> list[np.ndarray]:
    """Observations and rewards of steps, through the ends of episodes."""
    first = simulation.first_instance
    told = []
    for step in steps:
        result = simulation.step(action(step, range(first, first + simulation.num_instances)))
        done = np.flatnonzero(result.terminated | result.truncated)
        if len(done):
            simulation.reset(done)
        told += [result.observation, simulation.observe(), result.reward]
    return told


def same(one: list[np.ndarray], other: list[np.ndarray], rows: slice = slice(None)) -> bool:
    return all(np.array_equal(a[rows], b) for a, b in zip(one, other, strict=True))


def test_an_instance_is_the_same_alone_and_beside_others() -> None:
    together = simulate(EVERYTHING, 5)
    expected = run(together, range(30))
    alone = Simulation(experiment(EVERYTHING), 2, seed=3, first_instance=2, num_threads=1)
    alone.reset()
    assert same(expected, run(alone, range(30)), slice(2, 4))
    assert [together.draws(i) for i in (2, 3)] == [alone.draws(i) for i in (0, 1)]
    assert together.draws(0) != together.draws(1)


def test_it_goes_on_from_a_snapshot_bit_for_bit() -> None:
    simulation = simulate(EVERYTHING)
    run(simulation, range(7))
    kept = simulation.snapshot()
    expected = run(simulation, range(7, 30))
    other = Simulation(experiment(EVERYTHING), 3, seed=3, num_threads=1)
    other.reset()
    run(other, range(20))
    other.restore(kept)
    assert same(expected, run(other, range(7, 30)))


def test_it_is_the_same_for_an_engine_in_a_process_of_its_own() -> None:
    arm = read_description("scara-reach")["engines"]["arm"]
    elsewhere = simulate(EVERYTHING, engines={"arm": {**arm, "host": "process"}})
    assert same(run(simulate(EVERYTHING), range(20)), run(elsewhere, range(20)))
    elsewhere.close()


def test_one_more_randomisation_changes_none_of_the_others() -> None:
    less = {name: EVERYTHING[name] for name in ("gains", "encoder", "late")}
    few, all_of_them = simulate(less).draws(1), simulate(EVERYTHING).draws(1)
    assert few == {name: all_of_them[name] for name in few}
    assert few.keys() == {f"randomise.{name}" for name in less}


def test_a_scaled_value_is_of_the_nominal_one_in_each_episode() -> None:
    simulation = simulate({"damping": DAMPING})
    nominal = simulation.loop.engines["arm"].model.dof_damping  # type: ignore[attr-defined]
    seen = []
    for _ in range(4):
        damping = simulation.world.read("arm.joint_damping")
        factors = np.array([simulation.draws(i)["randomise.damping"] for i in range(3)])
        np.testing.assert_array_equal(damping, nominal * factors)
        seen.append(damping.copy())
        simulation.reset()
    assert len(np.unique(seen)) == 36


def test_two_randomisations_of_a_pack_follow_each_other() -> None:
    add = {**DAMPING, "operation": "add", "index": [1, 2]}
    simulation = simulate({"damping": DAMPING, "more": add})
    draws = simulation.draws(0)
    expected = 0.2 * np.array(draws["randomise.damping"]) + [0, *draws["randomise.more"]]
    np.testing.assert_allclose(simulation.world.read("arm.joint_damping")[0], expected)


def test_a_startup_draw_stays_and_a_shared_one_is_of_all_elements() -> None:
    gains = EVERYTHING["gains"]
    simulation = simulate({"gains": gains})
    first = simulation.world.read("arm.servo_stiffness").copy()
    assert (first == first[:, :1]).all()
    assert len(np.unique(first)) == 3
    simulation.reset(np.array([1]))
    np.testing.assert_array_equal(simulation.world.read("arm.servo_stiffness"), first)


def test_an_interval_draws_again_when_it_is_over_and_adds_nothing_up() -> None:
    simulation = simulate({"kick": EVERYTHING["kick"]})
    values = []
    for step in range(12):
        simulation.step(action(step, range(3)))
        values.append(simulation.world.read("arm.joint_damping")[0, 1])
        draw = simulation.draws(0)["randomise.kick"]
        np.testing.assert_allclose(values[-1], 0.2 + draw)
    # every 60 ms of steps of 20 ms
    assert (np.diff(values) != 0).tolist() == [s % 3 == 0 for s in range(1, 12)]


def test_randomisations_of_a_pack_follow_each_other_after_intervals_too() -> None:
    again = {**DAMPING, "mode": "interval", "every": "40ms"}
    tenfold = {**DAMPING, "distribution": {"type": "choice", "values": [10]}}
    add = {**EVERYTHING["kick"], "distribution": {"type": "uniform", "low": 1, "high": 2}}
    randomise = {"again": again, "tenfold": tenfold, "add": add}
    arm = read_description("scara-reach")["engines"]["arm"]
    for host in ("here", "process"):
        simulation = simulate(randomise, engines={"arm": {**arm, "host": host}})
        seen = []
        for step in range(8):
            for i in range(3):
                factors, (more,) = (
                    np.array(simulation.draws(i)[f"randomise.{name}"]).reshape(-1)
                    for name in ("again", "add")
                )
                expected = 0.2 * factors * 10 + [0, more, 0]
                damping = simulation.world.read("arm.joint_damping")[i]
                np.testing.assert_allclose(damping, expected, err_msg=f"{host} {step}")
            seen.append((factors[0], more))
            simulation.step(action(step, range(3)))
        # new ones in the steps that begin 40, 80, 120 ms and 60, 120 ms after the reset
        assert len({first for first, _ in seen}) == 4
        assert len({more for _, more in seen}) == 3
        simulation.close()


def test_an_interval_leaves_elements_alone_that_it_does_not_choose() -> None:
    third = {**DAMPING, "index": "joint3"}
    simulation = simulate({"third": third, "kick": EVERYTHING["kick"]})
    simulation.world.write("arm.joint_damping", [0.3, 0.4, 0.7])
    for step in range(5):
        simulation.step(action(step, range(3)))
    damping = simulation.world.read("arm.joint_damping")
    assert damping[:, [0, 2]].tolist() == [[0.3, 0.7]] * 3
    assert (damping[:, 1] != 0.4).all()


def test_delayed_actions_and_commands_are_those_of_former_steps() -> None:
    plain, late = simulate({}), simulate({"a": {"type": "delay", "of": "action", "steps": 2}})
    for step in range(10):
        # before there are enough, the first one counts
        plain.step(action(max(0, step - 2), range(3)))
        late.step(action(step, range(3)))
        assert np.array_equal(plain.observe(), late.observe())
    plain = simulate({})
    command = {"type": "delay", "of": "arm.joint_target", "side": "command", "steps": 3}
    late = simulate({"c": command})
    targets = [plain.world.read("arm.joint_target").copy()] * 3
    for step in range(8):
        plain.step(action(step, range(3)))
        late.step(action(step, range(3)))
        targets.append(plain.world.read("arm.joint_target").copy())
        np.testing.assert_array_equal(late.world.read("arm.joint_target"), targets[step])


def test_a_delayed_observation_is_that_of_a_former_step() -> None:
    plain = simulate({})
    delay = {"type": "delay", "steps": 2}
    whole = simulate({"d": {**delay, "of": "observation"}})
    sensor = simulate({"d": {**delay, "of": "arm.joint_velocity"}})
    speeds = slice(-3, None)
    told = [plain.observe()]
    for step in range(8):
        for simulation in (plain, whole, sensor):
            simulation.step(action(step, range(3)))
        told.append(plain.observe())
        former = told[max(0, step + 1 - 2)]
        assert np.array_equal(whole.observe(), former)
        assert np.array_equal(sensor.observe()[:, speeds], former[:, speeds])
        assert np.array_equal(sensor.observe()[:, :-3], told[-1][:, :-3])
        np.testing.assert_array_equal(
            sensor.sensed("arm.joint_velocity").astype(np.float32), former[:, speeds]
        )


def test_noise_of_a_sensor_is_seen_but_does_not_change_the_world() -> None:
    plain = simulate({}, 40)
    noisy = simulate({"n": {"type": "noise", "of": "arm.joint_position", "deviation": 0.01}}, 40)
    biased = simulate({"n": {"type": "noise", "of": "observation", "bias": 0.1}}, 40)
    errors, biases = [], []
    for step in range(10):
        results = [s.step(action(step, range(40))) for s in (plain, noisy, biased)]
        assert np.array_equal(results[0].reward, results[1].reward)
        assert np.array_equal(noisy.observe(), results[1].observation)
        errors.append((results[1].observation - results[0].observation)[:, :3])
        biases.append(results[2].observation - results[0].observation)
    assert abs(np.mean(errors)) < 0.001
    np.testing.assert_allclose(np.std(errors), 0.01, rtol=0.1)
    assert np.corrcoef(np.ravel(errors[0]), np.ravel(errors[1]))[0, 1] < 0.3
    np.testing.assert_allclose(np.std(biases), 0.1, rtol=0.2)
    np.testing.assert_allclose(biases[0], biases[-1], atol=1e-6)
    np.testing.assert_allclose(biases[0][7], biased.draws(7)["randomise.n"], atol=1e-6)


def test_policies_are_measured_in_the_randomised_world_unless_they_say_no() -> None:
    assert experiment(EVERYTHING).as_measured().randomise.keys() == EVERYTHING.keys()
    plain = experiment(EVERYTHING, evaluation={"randomise": False})
    assert plain.randomise
    assert plain.as_measured().randomise == {}


def test_training_records_the_draws_of_each_episode() -> None:
    simulation = Simulation(experiment(EVERYTHING), 2, seed=3, num_threads=1)
    size = simulation.observation_spec.shape[0]
    parameters = {
        "actor.0.weight": np.zeros((size, 3), np.float32),
        "actor.0.bias": np.zeros(3, np.float32),
        "log_std": np.zeros(3, np.float32),
    }
    sampler = Sampler(simulation, seed=3, noise_size=3)
    sampler.policies.newest = MlpPolicy(
        parameters, np.zeros(size, np.float32), np.ones(size, np.float32)
    )
    first = [simulation.draws(i) for i in range(2)]
    table = sampler.sample(14).episodes
    for row, (instance, episode) in enumerate(
        zip(table["instance"], table["episode"], strict=True)
    ):
        if episode == 0:
            draws = first[instance]
            assert table["randomise.gains"][row] == draws["randomise.gains"]
            mean = np.mean(draws["randomise.damping"])
            np.testing.assert_allclose(table["randomise.damping"][row], mean)
    assert len(table["instance"]) >= 2


def test_what_a_description_shows_can_be_loaded_again_and_entries_left_out() -> None:
    shown = experiment(EVERYTHING).resolved()
    assert build_experiment(shown).resolved() == shown
    fewer = build_experiment({**shown, "randomise": {**shown["randomise"], "kick": None}})
    assert fewer.randomise.keys() == EVERYTHING.keys() - {"kick"}


def test_hindsight_needs_observations_that_are_exact() -> None:
    shown = load_experiment("scara-reach-sac").resolved()
    assert build_experiment(shown).goals() is not None
    assert build_experiment({**shown, "randomise": {"x": DAMPING}}).goals() is not None
    assert build_experiment({**shown, "randomise": {"x": EVERYTHING["noise"]}}).goals() is None


UNIFORM = {"type": "uniform", "low": 0, "high": 1}


@pytest.mark.parametrize(
    ("entry", "message"),
    [
        (
            {"pack": "arm.joint_dampin", "distribution": UNIFORM},
            r"Did you mean 'arm.joint_damping'",
        ),
        (
            {"pack": "arm.tool_position", "distribution": UNIFORM},
            r"x\.pack: 'arm\.tool_position' can be read, not written\. Valid: arm\.joint_damping",
        ),
        (
            {"pack": "arm.joint_damping", "distribution": {**UNIFORM, "low": -1}},
            r"it goes from -1\.0 to 1\.0, but 'arm\.joint_damping' takes 0 to inf N m s/rad\.",
        ),
        (
            {"pack": "arm.joint_damping", "distribution": UNIFORM, "index": "3"},
            r"randomise\.x\.index: '3' does not fit the shape \(3,\)",
        ),
        (
            {"pack": "arm.joint_damping", "distribution": UNIFORM, "index": "elbow"},
            r"unknown name of an element 'elbow'\. Valid: joint1, joint2, joint3",
        ),
        (
            {"pack": "arm.joint_damping", "distribution": UNIFORM, "shared": [1]},
            r"there is no axis 1: the elements have the shape \(3,\)",
        ),
        (
            {"pack": "arm.joint_damping", "distribution": {**UNIFORM, "low": [0, 0]}},
            r"it has 2 numbers for the last axis, but what is drawn has the shape \(3,\)",
        ),
        (
            {"pack": "arm.joint_damping", "distribution": UNIFORM, "mode": "interval"},
            r"every: mode 'interval' needs the time between two draws",
        ),
        (
            {**EVERYTHING["kick"], "every": "50ms"},
            r"randomise\.x\.every: 50ms is no multiple of the loop's step, 20ms",
        ),
        ({"type": "delay", "of": "arm.speed", "steps": 1}, r"unknown datapack 'arm\.speed'"),
        (
            {"type": "delay", "of": "arm.tool_position", "side": "command", "steps": 1},
            r"unknown datapack 'arm\.tool_position'",
        ),
        (
            {"type": "delay", "of": "arm.joint_targe", "side": "command", "steps": 1},
            r"\.of: unknown datapack .* Did you mean 'arm\.joint_target'\? Valid: arm\.joint_damp",
        ),
        (
            {"type": "delay", "of": "action", "side": "command", "steps": 1},
            r"randomise\.x: side: 'command' is of a datapack that is written, not 'action'",
        ),
        (
            {"type": "delay", "of": "observation", "side": "command", "steps": 1},
            r"randomise\.x: side: 'command' is of a datapack that is written, not 'observation'",
        ),
        (
            {"type": "noise", "of": "action", "deviation": 1},
            r"randomise\.x\.of: unknown datapack 'action'\. Valid: arm\..*, observation\.",
        ),
        (
            {"pack": "arm.joint_damping", "distribution": UNIFORM, "index": "::0"},
            r"randomise\.x\.index: '::0' does not fit the shape \(3,\): slice step cannot be zero",
        ),
        (3, r"randomise\.x: give a mapping of keys to values, not 3\. Valid types: delay, noise"),
        ({"type": "delay", "of": "action", "steps": [2, 1]}, r"steps: 2 is more than 1"),
        ({"type": "noise", "of": "observation"}, r"'deviation', 'bias' and 'dropout'"),
        (
            {"type": "noise", "of": "arm.joint_position", "deviation": [1, 2]},
            r"randomise\.x\.deviation: 2 numbers do not fit a value of shape \(3,\)",
        ),
        ({"type": "nois", "of": "observation"}, r"unknown type 'nois'.* Valid: delay, noise, pack"),
        ({"pack": "arm.joint_damping", "sort": 1}, r"randomise\.x: unknown key 'sort'"),
    ],
)
def test_what_is_wrong_is_told_before_anything_starts(entry: Any, message: str) -> None:
    with pytest.raises(UserError, match=message):
        Simulation(experiment({"x": entry}), 1)


def test_whether_actions_count_always_is_for_the_task_to_say(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setattr(ReachTask, "decides", lambda self, world: np.ones(3, bool), raising=False)
    simulate({"late": EVERYTHING["action"]})
    monkeypatch.setattr(ReachTask, "decides_always", False)
    with pytest.raises(UserError, match=r"count at some steps only; delay a datapack"):
        simulate({"late": EVERYTHING["action"]})


def test_there_must_be_a_task_whose_actions_count_at_every_step() -> None:
    late = {"type": "delay", "of": "action", "steps": 1}
    with pytest.raises(UserError, match=r"count at some steps only; delay a datapack"):
        Simulation(load_experiment("iiwa-grasp", [f"randomise.late={late}"]), 1)
    description = {**read_description("scara-reach"), "randomise": {"late": late}}
    for section in ("task", "learner"):
        del description[section]
    with pytest.raises(UserError, match=r"randomise: it is of a task's episodes"):
        build_experiment(description)
