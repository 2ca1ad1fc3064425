"""Data sets of Minari: read and made by Minari itself."""

import shutil
import warnings
from dataclasses import replace

import gymnasium
import minari
import numpy as np
import pytest
from gymnasium.envs.registration import EnvSpec
from minari.data_collector.episode_buffer import EpisodeBuffer

from tests.episodes.exchange.conftest import attempt, write
from tests.episodes.store.conftest import assert_same
from troupe.core import UserError
from troupe.episodes.exchange import Selection, export_minari, import_dataset
from troupe.episodes.store import open_store


@pytest.fixture(autouse=True)
def root(tmp_path, monkeypatch):
    """Where Minari looks for data sets."""
    monkeypatch.setenv("MINARI_DATASETS_PATH", str(tmp_path / "minari"))
    return tmp_path / "minari"


def test_minari_reads_every_value(store, root):
    done = export_minari(Selection(store), root / "arm" / "reach-v0")
    assert (done.episodes, done.steps, done.left_out) == (5, 30, ())
    data = minari.load_dataset("arm/reach-v0")
    assert (data.total_episodes, data.total_steps) == (5, 30)
    for number, episode in enumerate(data):
        record = attempt(number)
        length = len(record.steps["action"])
        seen = [record.steps["observation"], record.steps["next_observation"][-1:]]
        np.testing.assert_array_equal(episode.observations, np.concatenate(seen))
        np.testing.assert_array_equal(episode.actions, record.steps["action"])
        np.testing.assert_array_equal(episode.rewards, record.steps["reward"])
        is_last, terminated = np.arange(length) == length - 1, number % 3 == 0
        np.testing.assert_array_equal(episode.terminations, is_last & terminated)
        np.testing.assert_array_equal(episode.truncations, is_last & (not terminated))
        force = episode.infos["force"]
        np.testing.assert_array_equal(force[:-1], record.steps["force"])
        assert not force[-1].any()
        np.testing.assert_array_equal(episode.infos["top.rgb"], record.images["top.rgb"])
        assert data.observation_space.contains(episode.observations[0])


def test_a_store_comes_back_exactly(store, root, tmp_path):
    export_minari(Selection(store, "seed = 7"), root / "reach-v1")
    done = import_dataset("reach-v1", tmp_path / "back")
    assert (done.episodes, done.steps) == (5, 30)
    back = open_store(tmp_path / "back")
    assert back.schema.difference(store.schema) == ""
    for number in range(5):
        assert_same(back.episode(f"reach-{number}"), attempt(number))
    assert back.files.read("experiments/c0.json") == store.files.read("experiments/c0.json")


def test_an_environment_gives_its_spaces(store, root, tmp_path):
    cart_pole = gymnasium.spec("CartPole-v1")
    with pytest.raises(
        UserError, match=r"'CartPole-v1' has action Discrete\(2\), the store float32"
    ):
        export_minari(Selection(store), root / "cart-v0", env_spec=cart_pole)
    records = [attempt(number) for number in range(2)]
    for record in records:
        record.steps["action"] = (record.steps["action"][:, 0] > 0).astype(np.float32)
    choices = write(tmp_path / "choices", records)
    export_minari(Selection(choices), root / "cart-v0", env_spec=cart_pole)
    data = minari.load_dataset("cart-v0")
    assert data.action_space == gymnasium.spaces.Discrete(2)
    np.testing.assert_array_equal(data[1].actions, records[1].steps["action"])
    assert data.recover_environment().spec.id == "CartPole-v1"
    import_dataset("cart-v0", tmp_path / "back")
    assert_same(open_store(tmp_path / "back").episode("reach-1"), records[1])
    unknown = EnvSpec("No-v0", entry_point="troupe.experiments.environments:make_environment")
    unknown.kwargs["experiment"] = "no-such"
    with pytest.raises(UserError, match=r"'No-v0' cannot be made: .*no-such.* --env none"):
        export_minari(Selection(choices), root / "no-v0", env_spec=unknown)


def test_data_sets_of_one_id_do_not_hide_each_other(root, tmp_path, monkeypatch):
    for number, name in enumerate(("alice", "bob")):
        monkeypatch.setenv("MINARI_DATASETS_PATH", str(tmp_path / name))
        made = Selection(write(tmp_path / f"store-{name}", [attempt(number, 4)]))
        export_minari(made, tmp_path / name / "reach-v0")
        shutil.rmtree(tmp_path / name / "reach-v0" / "troupe")
        shutil.copytree(tmp_path / name / "reach-v0", tmp_path / f"copy-of-{name}")
        added = [
            import_dataset(place, tmp_path / "all").episodes
            for place in ("reach-v0", tmp_path / f"copy-of-{name}")
        ]
        assert added == [1, 0]
    assert len(open_store(tmp_path / "all").ids("id LIKE 'reach-v0-0-%'")) == 2


def test_what_others_make_comes_into_a_store(root, tmp_path):
    rng = np.random.default_rng(0)
    buffers = [
        EpisodeBuffer(
            observations={"arm": rng.random((n + 1, 3)), "goal": (rng.random((n + 1, 2)),)},
            actions=rng.integers(0, 3, n),
            rewards=rng.random(n),
            terminations=np.arange(n) == n - 1,
            truncations=np.zeros(n, bool),
            infos={"contact": {"force": rng.random(n + 1)}, "name": ["a"] * (n + 1)},
            seed=n,
        )
        for n in (3, 5)
    ]
    box, discrete = gymnasium.spaces.Box, gymnasium.spaces.Discrete(3)
    goal = gymnasium.spaces.Tuple([box(0, 1, (2,), np.float64)])
    spaces = gymnasium.spaces.Dict({"arm": box(0, 1, (3,), np.float64), "goal": goal})
    with warnings.catch_warnings():
        warnings.simplefilter("ignore", UserWarning)  # that it has no author
        minari.create_dataset_from_buffers(
            "arm/made-v0", buffers, observation_space=spaces, action_space=discrete
        )
    done = import_dataset(root / "arm" / "made-v0", tmp_path / "store")
    assert (done.episodes, done.steps, done.left_out) == (2, 8, ("info.name",))
    store = open_store(tmp_path / "store")
    (id,) = store.ids("id LIKE 'arm.made-v0-1-%'")
    record, made = store.episode(id), buffers[1]
    expected = {
        "observation.arm": made.observations["arm"][:-1],
        "next_observation.arm": made.observations["arm"][1:],
        "observation.goal.0": made.observations["goal"][0][:-1],
        "next_observation.goal.0": made.observations["goal"][0][1:],
        "action": made.actions,
        "reward": made.rewards,
        "info.contact.force": made.infos["contact"]["force"][1:],
    }
    assert record.steps.keys() == expected.keys()
    for name, values in expected.items():
        np.testing.assert_array_equal(record.steps[name], values)
    total = pytest.approx(made.rewards.sum())
    assert record.about == {"length": 5, "return": total, "terminated": True, "seed": 5}


def test_what_cannot_be_expressed_is_said(store, root, tmp_path):
    with pytest.raises(UserError, match="'reach-v0'"):
        export_minari(Selection(store), root / "reach")
    record = attempt(0)
    blind = replace(record, steps={n: v for n, v in record.steps.items() if "observation" not in n})
    ends = replace(
        record,
        images={name: shown[:2] for name, shown in record.images.items()},
        frames={name: shown[:2] for name, shown in record.frames.items()},
    )
    noisy = replace(record, steps=record.steps | {"observation": record.steps["observation"] + 1})
    endless = replace(record, about={"seed": 1})
    for name, wrong, text in (
        ("blind", blind, r"no 'observation' .* collect.observations=true"),
        ("ends", ends, r"one image 'top.rgb' .* --images none"),
        ("noisy", noisy, "not what it saw before the next"),
        ("endless", endless, "does not say whether it terminated"),
    ):
        selection = Selection(write(tmp_path / name, [wrong]))
        with pytest.raises(UserError, match=text):
            export_minari(selection, root / "wrong-v0")
    assert not root.exists() or not list(root.iterdir())
    done = export_minari(Selection(write(tmp_path / "ends", [ends])), root / "v-v0", images="none")
    assert done.left_out == ("images top.rgb", "images top.depth")
    import_dataset("v-v0", tmp_path / "back")
    assert open_store(tmp_path / "back").episode("reach-0").images == {}
