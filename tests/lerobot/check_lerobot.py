"""Data sets that go to LeRobot itself and come from it. `make check-lerobot` runs this file only.

It needs LeRobot in an environment of its own, which is of several GB; so its name is not one that
pytest collects, and CI does not run it. Without LeRobot it fails: nothing here stands in for it.
"""

import os
import subprocess
import sys
from pathlib import Path

import numpy as np
import pytest

from tests.lerobot.make_dataset import FEATURES, frame
from troupe.episodes.exchange import Selection, export_lerobot, import_dataset
from troupe.episodes.store import Store, open_store

HERE = Path(__file__).parent
PYTHON = HERE.parents[1] / os.environ.get("LEROBOT", ".lerobot") / "bin" / "python"
CAMERA = "observation.images.overhead"
LENGTHS = {0: 5, 1: 7, 2: 3}
STATE = ("arm.joint_position", "arm.gripper_position")


@pytest.fixture(scope="module")
def lerobot(tmp_path_factory):
    """Run a script in LeRobot's environment, without a network."""
    home = tmp_path_factory.mktemp("home")
    environment = os.environ | {"HF_HOME": str(home), "HF_HUB_OFFLINE": "1"}

    def run(script: str, *words: str | Path) -> None:
        command = [PYTHON, HERE / f"{script}.py", *words]
        done = subprocess.run(command, env=environment, capture_output=True, text=True, check=False)
        assert done.returncode == 0, done.stderr

    return run


@pytest.fixture
def read(lerobot, tmp_path):
    """Return all that LeRobot gives of a data set."""

    def read(folder: Path) -> dict[str, np.ndarray]:
        lerobot("read_dataset", folder, tmp_path / "read.npz")
        with np.load(tmp_path / "read.npz") as file:
            return dict(file)

    return read


@pytest.fixture(scope="module")
def grasps(tmp_path_factory) -> Store:
    """Attempts to grasp with images of every step."""
    place = tmp_path_factory.mktemp("stores") / "grasps"
    words = ["iiwa-grasp", "--episodes", "4", "--instances", "2", "--store", str(place)]
    collect = [sys.executable, "-m", "troupe", "collect", *words]
    subprocess.run([*collect, "--set", "collect.image_steps=all"], check=True, capture_output=True)
    return open_store(place)


def joined(store: Store, name: str) -> np.ndarray:
    return np.concatenate([record.steps[name] for record in records(store)])


def pictures(store: Store, name: str) -> np.ndarray:
    return np.concatenate([r.images[name][: len(r.steps["action"])] for r in records(store)])


def records(store: Store) -> list:
    return [store.episode(id) for id in store.episode_ids()]


@pytest.mark.parametrize("images", ["png", "video"])
def test_lerobot_reads_every_value(grasps, read, tmp_path, images):
    export_lerobot(Selection(grasps), tmp_path / "set", images=images, task="lift something")
    found = read(tmp_path / "set")
    lengths = [len(record.steps["action"]) for record in records(grasps)]
    assert found["episodes"] == len(lengths)
    state = [joined(grasps, name).reshape(sum(lengths), -1) for name in STATE]
    np.testing.assert_array_equal(found["observation.state"], np.concatenate(state, axis=1))
    np.testing.assert_array_equal(found["action"], joined(grasps, "action"))
    np.testing.assert_array_equal(found["next.reward"], joined(grasps, "reward"))
    for name in ("time_ns", "log_prob"):
        np.testing.assert_array_equal(found[f"troupe.{name}"], joined(grasps, name))
    for name in ("overhead.depth", "overhead.mask"):
        np.testing.assert_array_equal(found[f"troupe.{name}"], pictures(grasps, name))

    frames = np.concatenate([np.arange(n) for n in lengths])
    np.testing.assert_array_equal(found["frame_index"], frames)
    np.testing.assert_array_equal(found["index"], np.arange(sum(lengths)))
    np.testing.assert_array_equal(found["episode_index"], np.repeat(range(4), lengths))
    np.testing.assert_allclose(found["timestamp"], joined(grasps, "time_ns") / 1e9, rtol=1e-6)
    is_last = np.isin(np.arange(sum(lengths)), np.cumsum(lengths) - 1)
    np.testing.assert_array_equal(found["next.done"], is_last)
    ends = [(not r.about["terminated"], r.about["success"]) for r in records(grasps)]
    truncated, success = (np.repeat(end, lengths) for end in zip(*ends, strict=True))
    np.testing.assert_array_equal(found["next.truncated"], is_last & truncated)
    np.testing.assert_array_equal(found["next.success"], is_last & (success > 0))
    assert set(found["task"]) == {"lift something"}

    shown = pictures(grasps, "overhead.rgb").transpose(0, 3, 1, 2)
    error = np.abs(found[CAMERA] * 255 - shown)
    assert error.max() < 1e-3 if images == "png" else error.mean() < 3
    at = np.array([0, 0, 1]), np.array([0, 1, 2])
    for k in range(2):
        np.testing.assert_array_equal(found[f"windows.{CAMERA}"][:, k], found[CAMERA][at[k]])
    following = np.minimum(np.arange(sum(lengths)) + 1, np.repeat(np.cumsum(lengths) - 1, lengths))
    np.testing.assert_array_equal(found["windows.action"][:, 1], found["action"][following])
    np.testing.assert_array_equal(found["windows.is_pad"][:, 1], is_last)

    np.testing.assert_allclose(found["stats.action.mean"], found["action"].mean(0), atol=1e-6)
    np.testing.assert_allclose(found["stats.action.std"], found["action"].std(0), atol=1e-6)
    colour = found[f"stats.{CAMERA}.mean"]
    assert colour.shape == (3, 1, 1)
    np.testing.assert_allclose(colour.ravel(), shown.mean((0, 2, 3)) / 255, atol=1e-6)


@pytest.mark.parametrize("kind", ["image", "video"])
def test_what_lerobot_makes_comes_into_a_store(lerobot, tmp_path, kind):
    lerobot("make_dataset", tmp_path / "made", kind)
    done = import_dataset(tmp_path / "made", tmp_path / "store")
    assert (done.episodes, done.steps, done.left_out) == (3, 15, ())
    store = open_store(tmp_path / "store")
    names = {name: {"next.reward": "reward"}.get(name, name) for name in FEATURES}
    names = {name: to for name, to in names.items() if FEATURES[name]["dtype"] != "bool"}
    camera = {"top": {"dtype": "image", "shape": (32, 48, 3)}}
    for episode, length in LENGTHS.items():
        record = store.episode(*store.ids(f"id LIKE 'made-{episode}-%'"))
        assert record.about["task"] == ("lift" if episode % 2 else "reach")
        assert (record.about["length"], record.about["success"]) == (length, True)
        np.testing.assert_array_equal(record.steps["time_ns"], np.arange(length) * 100_000_000)
        expected = [frame(FEATURES | camera, episode, step, length) for step in range(length)]
        for name, to in names.items():
            values = np.stack([of_one[name] for of_one in expected])
            np.testing.assert_array_equal(record.steps[to].reshape(values.shape), values)
        shown = np.stack([of_one["top"] for of_one in expected]).astype(int)
        error = np.abs(record.images["top.rgb"] - shown)
        assert error.max() <= (0 if kind == "image" else 2)


def test_lerobot_goes_on_recording_in_our_data_set(grasps, lerobot, read, tmp_path):
    export_lerobot(Selection(grasps), tmp_path / "set")
    lerobot("make_dataset", tmp_path / "set", "append")
    assert read(tmp_path / "set")["episodes"] == 5
    import_dataset(tmp_path / "set", tmp_path / "store")
    store = open_store(tmp_path / "store")
    (added,) = store.ids("id LIKE 'set-4-%'")
    assert store.episode_ids() == [*grasps.episode_ids(), added]
    np.testing.assert_allclose(store.episode(added).steps["action"][:, 0], 4 + np.arange(4) / 10)


def test_a_data_set_of_lerobot_survives_a_store(lerobot, read, tmp_path):
    lerobot("make_dataset", tmp_path / "made", "image")
    import_dataset(tmp_path / "made", tmp_path / "store")
    export_lerobot(Selection(open_store(tmp_path / "store")), tmp_path / "again")
    before, after = read(tmp_path / "made"), read(tmp_path / "again")
    same = ("action", "observation.state", "next.reward", "next.success", "timestamp", "task")
    for name in (*same, "episode_index", "observation.images.top"):
        np.testing.assert_array_equal(after[name], before[name])
