from pathlib import Path

import pytest

from troupe.core import UserError
from troupe.experiments.load import (
    apply_overrides,
    build_experiment,
    catalog_names,
    load_experiment,
    read_description,
    trainable_names,
)
from troupe.experiments.simulation import Simulation


@pytest.mark.parametrize("name", catalog_names())
def test_every_bundled_experiment_can_be_loaded_from_what_it_shows(name: str) -> None:
    experiment = load_experiment(name)
    assert experiment.name == name
    assert experiment.description
    assert build_experiment(experiment.resolved()) == experiment


@pytest.mark.parametrize("name", trainable_names())
def test_every_bundled_task_can_be_observed(name: str) -> None:
    simulation = Simulation(load_experiment(name), 2)
    simulation.reset()
    assert simulation.observe().shape == (2, *simulation.observation_spec.shape)
    simulation.close()


def test_overrides_go_over_a_file_over_the_catalog(tmp_path: Path) -> None:
    path = tmp_path / "mine.yaml"
    path.write_text("base: scara-reach\nname: mine\nlearner: {gamma: 0.5, epochs: 3}\nsteps: 7\n")
    experiment = load_experiment(path, ["learner.gamma=0.25", "task.episode=1s"])
    assert (experiment.name, experiment.steps) == ("mine", 7)
    learner = experiment.resolved()["learner"]
    assert (learner["type"], learner["gamma"], learner["epochs"]) == ("ppo", 0.25, 3)
    assert experiment.max_episode_steps == 50


def test_another_learner_keeps_what_it_knows_of_the_settings_before() -> None:
    before = load_experiment("scara-reach").resolved()["learner"]
    assert "std" in before
    given = ["learner.minibatch=32", "learner.type=iql", "learner.hidden=[8]"]
    learner = load_experiment("scara-reach", given).resolved()["learner"]
    assert learner["type"] == "iql"
    assert "std" not in learner
    assert learner["gamma"] == before["gamma"]
    assert (learner["minibatch"], learner["hidden"]) == (32, [8])
    with pytest.raises(UserError, match="learner: unknown key 'clip'"):
        load_experiment("scara-reach", ["learner.clip=0.1", "learner.type=iql"])


def test_nothing_is_shared_between_descriptions() -> None:
    before = read_description("scara-reach")
    apply_overrides(before, ["engines.arm.timestep=4ms", "new.key.deep=1"])
    assert read_description("scara-reach") == before


@pytest.mark.parametrize(
    ("override", "message"),
    [
        ("steps", "override 'steps': write key=value"),
        ("steps=[", "override 'steps=[': not valid YAML"),
        ("stpes=3", "unknown key 'stpes'. Did you mean 'steps'?"),
        ("engines.arm.robot=scarra", "engines.arm.robot: unknown robot 'scarra'. Did you mean"),
        ("engines.arm.type=mujco", "engines.arm.type: unknown engine 'mujco'. Did you mean"),
        ("engines.arm.timestep=2", "engines.arm.timestep: 2 has no unit: write a number and a u"),
        ("engines.arm.timstep=2ms", "engines.arm: unknown key 'timstep'. Did you mean 'timestep'"),
        (
            "engines.arm=3",
            "engines.arm: give a mapping with a 'type', not 3. Valid types: bullet, gym",
        ),
        (
            "engines.arm.scene={type: tary}",
            "engines.arm.scene.type: unknown scene 'tary'. Did you mean 'tray'? Valid: ",
        ),
        (
            "engines.arm.scene={type: tray, objcts: 3}",
            "engines.arm.scene: unknown key 'objcts'. Did you mean 'objects'?",
        ),
        ("engines=3", "engines: Input should be a valid dictionary, not 3"),
        ("loop.step=20", "loop.step: 20 has no unit"),
        ("loop.step=0ms", "loop.step: '0ms' is less than 1ns"),
        ("task.episode=1ms", "task.episode must be at least one loop.step"),
        (
            "task.type=push",
            "task.type: unknown task 'push'. Valid: grasp, grasp-closed-loop, gymnasium, ",
        ),
        ("task.action=torque", "task.action: Input should be 'position' or 'velocity', not 'tor"),
        ("fleet.workers=-1", "fleet.workers: Input should be greater than or equal to 0, not -1"),
        ("fleet.instances=0", "fleet.instances: Input should be greater than or equal to 1"),
        ("learner.gama=0.9", "learner: unknown key 'gama'. Did you mean 'gamma'?"),
        ("learner.gamma=2", "learner.gamma: Input should be less than or equal to 1, not 2"),
        ("seed=-1", "seed: Input should be greater than or equal to 0, not -1"),
        ("learner.horizon=0", "learner.horizon: give a whole number, at least 1, not 0"),
    ],
)
def test_wrong_overrides_name_place_value_and_what_is_valid(override: str, message: str) -> None:
    with pytest.raises(UserError) as raised:
        load_experiment("scara-reach", [override])
    assert str(raised.value).startswith(message)


@pytest.mark.parametrize(
    ("source", "message"),
    [
        ("scara-rech", "unknown experiment 'scara-rech'. Did you mean 'scara-reach'? Valid: "),
        ("none.yaml", "experiment file 'none.yaml' does not exist"),
    ],
)
def test_unknown_experiments_are_refused(source: str, message: str) -> None:
    with pytest.raises(UserError) as raised:
        load_experiment(source)
    assert str(raised.value).startswith(message)


@pytest.mark.parametrize(
    ("content", "message"),
    [
        (b"- a list", "an experiment is a mapping"),
        (b"a: [", "not valid YAML"),
        (b"\xff\xfe\x00", "cannot be read"),
        (b"base: scara-rech", "base: unknown experiment 'scara-rech'. Did you mean 'scara-reach'?"),
        (b"!!python/object/apply:os.getcwd []", "not valid YAML"),
    ],
)
def test_wrong_files_are_refused(content: bytes, message: str, tmp_path: Path) -> None:
    path = tmp_path / "mine.yaml"
    path.write_bytes(content)
    with pytest.raises(UserError) as raised:
        load_experiment(path)
    assert message in str(raised.value)


def test_a_task_that_the_engines_do_not_offer_packs_for_is_refused() -> None:
    experiment = load_experiment("scara-reach", ["task={type: gymnasium, engine: arm}"])
    with pytest.raises(UserError, match=r"unknown datapack to read 'arm.reward'"):
        Simulation(experiment, 1)


def test_two_engines_of_one_name_are_refused(tmp_path: Path) -> None:
    path = tmp_path / "twice.yaml"
    path.write_text(
        "name: twice\nengines:\n  arm: {type: mujoco, robot: scara}\n"
        "  arm: {type: mujoco, robot: mara}\n"
    )
    with pytest.raises(UserError, match=r"twice\.yaml: line 4: 'arm' stands twice in the same"):
        load_experiment(path)
