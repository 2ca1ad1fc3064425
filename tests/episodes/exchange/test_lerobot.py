"""LeRobotDatasets v3, checked against the format by pyarrow, pandas and PyAV; `make check-lerobot`
gives them to LeRobot itself."""

import io
import json
import math
import os
import shutil
from dataclasses import replace
from pathlib import Path

import numpy as np
import pandas as pd
import pyarrow.parquet as pq
import pytest
from PIL import Image

from tests.episodes.exchange.conftest import CONFIG, attempt, write
from tests.episodes.store.conftest import assert_same
from troupe.core import TroupeError, UserError
from troupe.episodes.exchange import Selection, export_lerobot, import_dataset
from troupe.episodes.exchange import lerobot_files as files
from troupe.episodes.exchange import lerobot_writer as exporting
from troupe.episodes.store import EpisodeRecord, open_store
from troupe.episodes.store.manifest import experiment_file
from troupe.episodes.video import read_film

LENGTHS = [4, 5, 6, 7, 8]
TOP = "observation.images.top"


def export(store, out, where=None, **options):
    return export_lerobot(Selection(store, where), out, **options)


def frames_of(folder) -> pd.DataFrame:
    found = sorted((folder / "data").glob("*/*.parquet"))
    return pd.concat([pq.read_table(file).to_pandas() for file in found], ignore_index=True)


def test_a_store_comes_back_exactly(store, tmp_path):
    told = []
    done = export(store, tmp_path / "set", report=lambda *at: told.append(at))
    assert (done.episodes, done.steps, done.left_out) == (5, sum(LENGTHS), ())
    assert told == [(n, 5) for n in range(1, 6)]
    done = import_dataset(tmp_path / "set", tmp_path / "back")
    assert (done.episodes, done.steps, done.repeats) == (5, sum(LENGTHS), 0)
    back = open_store(tmp_path / "back")
    assert back.schema.difference(store.schema) == ""
    assert back.episode_ids() == store.episode_ids()
    for number in range(5):
        assert_same(back.episode(f"reach-{number}"), attempt(number))
    assert json.loads(back.files.read("experiments/c0.json")) == CONFIG
    assert import_dataset(tmp_path / "set", tmp_path / "back").repeats == 5


def test_frames_are_as_the_format_says(store, tmp_path):
    state = ["arm.joint_position", "arm.grip"]
    export(store, tmp_path / "set", task="reach out", state=state)
    info = json.loads((tmp_path / "set" / "meta" / "info.json").read_text())
    assert (info["codebase_version"], info["fps"], info["total_frames"]) == ("v3.0", 50, 30)
    assert (info["total_episodes"], info["splits"]) == (5, {"train": "0:5"})
    features = info["features"]
    assert features["action"] == {
        "dtype": "float32",
        "shape": [2],
        "names": ["action.0", "action.1"],
    }
    assert features[TOP]["dtype"] == "image"
    assert features[TOP]["shape"] == [16, 32, 3]
    # the state has float64 among its parts, and no part of it loses anything
    assert features["observation.state"]["dtype"] == "float64"
    assert features["observation.state"]["names"][-2:] == ["arm.joint_position.2", "arm.grip"]
    assert features["troupe.force"]["shape"] == [2, 3]

    rows, records = frames_of(tmp_path / "set"), [attempt(number) for number in range(5)]
    assert set(rows.columns) == set(features)
    steps = {name: np.concatenate([r.steps[name] for r in records]) for name in records[0].steps}
    state = np.column_stack([steps["arm.joint_position"], steps["arm.grip"]])
    np.testing.assert_array_equal(np.stack(rows["observation.state"]), state)
    np.testing.assert_array_equal(np.stack(rows["action"]), steps["action"])
    np.testing.assert_array_equal(rows["next.reward"], steps["reward"])
    force = np.stack([np.stack(row) for row in rows["troupe.force"]])
    np.testing.assert_array_equal(force, steps["force"])
    np.testing.assert_allclose(rows["timestamp"], steps["time_ns"] / 1e9, rtol=1e-6)
    assert rows["timestamp"].dtype == np.float32
    np.testing.assert_array_equal(rows["index"], np.arange(30))
    np.testing.assert_array_equal(rows["episode_index"], np.repeat(range(5), LENGTHS))
    np.testing.assert_array_equal(rows["frame_index"], np.concatenate([*map(np.arange, LENGTHS)]))
    ends = np.cumsum(LENGTHS) - 1
    assert rows.index[rows["next.done"]].tolist() == ends.tolist()
    assert rows.index[rows["next.success"]].tolist() == ends[[1, 3]].tolist()
    assert rows.index[rows["next.truncated"]].tolist() == ends[[1, 2, 4]].tolist()
    with Image.open(io.BytesIO(rows[TOP][9]["bytes"])) as picture:
        np.testing.assert_array_equal(np.asarray(picture), records[2].images["top.rgb"][0])

    tasks = pd.read_parquet(tmp_path / "set" / "meta" / "tasks.parquet")
    assert tasks.iloc[0].name == "reach out"
    assert tasks.loc["reach out"].task_index == 0
    episodes = pd.read_parquet(tmp_path / "set" / "meta" / "episodes")
    assert episodes["length"].tolist() == LENGTHS
    assert episodes["dataset_from_index"].tolist() == [0, *(ends[:-1] + 1)]
    assert episodes["dataset_to_index"].tolist() == [*(ends + 1)]
    np.testing.assert_allclose(
        episodes["stats/action/mean"][3], records[3].steps["action"].mean(axis=0), atol=1e-6
    )


def test_statistics_are_of_all_frames(store, tmp_path):
    export(store, tmp_path / "set")
    stats = json.loads((tmp_path / "set" / "meta" / "stats.json").read_text())
    action = np.concatenate([attempt(n).steps["action"] for n in range(5)]).astype(float)
    for figure in ("min", "max", "mean", "std"):
        expected = getattr(action, figure)(axis=0)
        np.testing.assert_allclose(stats["action"][figure], expected, atol=1e-9)
    assert stats["action"]["count"] == [30]
    by_hand = sum(
        np.quantile(attempt(n).steps["action"], 0.9, axis=0) * LENGTHS[n] / 30 for n in range(5)
    )
    np.testing.assert_allclose(stats["action"]["q90"], by_hand, atol=1e-6)
    shown = np.concatenate([attempt(n).images["top.rgb"][:-1] for n in range(5)]) / 255
    for figure in ("min", "max", "mean", "std"):
        expected = getattr(shown, figure)(axis=(0, 1, 2)).reshape(3, 1, 1)
        np.testing.assert_allclose(stats[TOP][figure], expected, atol=1e-9)


def test_films_hold_each_episode_where_they_say(store, tmp_path, monkeypatch):
    monkeypatch.setattr(exporting, "VIDEO_MB", 0)  # a film for each episode
    monkeypatch.setattr(exporting, "DATA_MB", 0)
    monkeypatch.setattr(files, "GROUP_BYTES", 1)
    monkeypatch.setattr(files, "CHUNK_FILES", 2)
    export(store, tmp_path / "many", images="video")
    monkeypatch.undo()
    export(store, tmp_path / "one", images="video")
    assert len(list((tmp_path / "many").glob("data/*/*"))) == 5
    assert (tmp_path / "many" / "data" / "chunk-002" / "file-000.parquet").is_file()
    for folder in (tmp_path / "many", tmp_path / "one"):
        info = json.loads((folder / "meta" / "info.json").read_text())
        found = sorted((folder / "meta" / "episodes").glob("*/*"))
        episodes = pd.concat([pd.read_parquet(file) for file in found]).to_dict("records")
        assert info["features"][TOP]["info"]["video.codec"] == "h264"
        for number, row in enumerate(episodes):
            at = {k: row[f"videos/{TOP}/{k}"] for k in ("chunk_index", "file_index")}
            film = folder / info["video_path"].format(video_key=TOP, **at)
            begin_s, end_s = (row[f"videos/{TOP}/{k}_timestamp"] for k in ("from", "to"))
            times = [t for t, _ in read_film(film) if begin_s - 1e-4 <= t < end_s - 1e-4]
            np.testing.assert_allclose(times, begin_s + np.arange(LENGTHS[number]) / 50, atol=1e-4)
        back = f"{folder.name}-back"
        import_dataset(folder, tmp_path / back)
        for number in range(5):
            record, expected = (
                open_store(tmp_path / back).episode(f"reach-{number}"),
                attempt(number),
            )
            shown = record.images.pop("top.rgb")
            lost = np.abs(shown.astype(int) - expected.images.pop("top.rgb"))
            assert lost.max() <= 3
            np.testing.assert_array_equal(
                record.frames.pop("top.rgb"), np.arange(LENGTHS[number] + 1)
            )
            expected.frames.pop("top.rgb")
            assert_same(record, expected)


def test_of_a_data_set_from_elsewhere_all_features_are_kept(store, tmp_path):
    export(store, tmp_path / "set", state=["observation"], task="reach out")
    shutil.rmtree(tmp_path / "set" / "meta" / "troupe")
    import_dataset(tmp_path / "set", tmp_path / "back")
    back = open_store(tmp_path / "back")
    (id,) = back.ids("id LIKE 'set-3-%'")
    record, expected = back.episode(id), attempt(3)
    assert record.about == {
        "length": 7,
        "task": "reach out",
        "return": pytest.approx(expected.steps["reward"].sum()),
        "terminated": True,
        "success": True,
    }
    same = {"action": "action", "reward": "reward", "time_ns": "time_ns"}
    same |= {"observation.state": "observation", "troupe.force": "force"}
    for name, to in same.items():
        np.testing.assert_array_equal(record.steps[name], expected.steps[to])
    np.testing.assert_array_equal(record.images["top.rgb"], expected.images["top.rgb"][:-1])
    np.testing.assert_array_equal(record.frames["top.rgb"], np.arange(7))


def test_data_sets_of_one_name_do_not_hide_each_other(tmp_path, monkeypatch):
    """Of alice and bob the steps differ, of alice and carol only what the camera saw."""
    recorded = {"alice": [attempt(1), attempt(2)], "bob": [attempt(3), attempt(4)]}
    recorded["carol"] = [
        replace(r, images=r.images | {"top.rgb": 255 - r.images["top.rgb"]})
        for r in recorded["alice"]
    ]
    for number, (name, records) in enumerate(recorded.items()):
        dataset = tmp_path / name / "pusht"
        export(write(tmp_path / f"store-{name}", records), dataset)
        shutil.rmtree(dataset / "meta" / "troupe")
        done = import_dataset(dataset, tmp_path / "all")
        assert (done.episodes, done.repeats) == (2, 0)
        shutil.copytree(dataset, tmp_path / "copies" / name / "pusht")
        monkeypatch.chdir(tmp_path / "copies" / name / "pusht")
        done = import_dataset(".", tmp_path / "all")
        assert (done.episodes, done.repeats) == (0, 2)
        assert len(open_store(tmp_path / "all").ids("id LIKE 'pusht-%'")) == 2 * (number + 1)


def test_a_data_set_that_has_grown_adds_what_is_new(tmp_path):
    for number in (2, 3):
        store = write(tmp_path / f"store-{number}", [attempt(n) for n in range(number)])
        export(store, tmp_path / "set", force=True)
        shutil.rmtree(tmp_path / "set" / "meta" / "troupe")
        done = import_dataset(tmp_path / "set", tmp_path / "all")
    assert (done.episodes, done.repeats) == (1, 2)


@pytest.mark.parametrize(
    ("arrays", "expected"),
    [
        ({"observation", "next_observation", "arm.joint_position"}, ["observation"]),
        (
            {"observation.arm", "observation.goal.0", "next_observation.arm", "arm.grip"},
            ["observation.arm", "observation.goal.0"],
        ),
        ({"arm.grip", "next_observation.arm", "info.force", "action.arm"}, ["arm.grip"]),
    ],
)
def test_the_state_is_what_was_known_before_the_step(tmp_path, arrays, expected):
    record = attempt(0)
    steps = {name: record.steps[name] for name in ("action", "reward", "time_ns")}
    steps |= {name: np.ones((4, 1), np.float32) for name in sorted(arrays)}
    store = write(tmp_path / "store", [EpisodeRecord("a", steps=steps)])
    export(store, tmp_path / "set")
    info = json.loads((tmp_path / "set" / "meta" / "info.json").read_text())
    assert info["features"]["observation.state"]["names"] == [f"{name}.0" for name in expected]


def test_a_refused_episode_leaves_no_file_open(tmp_path, monkeypatch):
    monkeypatch.setattr(files, "GROUP_BYTES", 1)
    records = [attempt(0), attempt(1)]
    records[1].steps["time_ns"] *= 2
    with pytest.raises(UserError, match="'reach-1' has 25 steps a second") as refused:
        export(write(tmp_path / "store", records), tmp_path / "set", images="video")
    assert refused.traceback  # it holds all that was open
    opened = [os.path.realpath(link) for link in Path("/proc/self/fd").iterdir()]
    assert not [path for path in opened if str(tmp_path) in path]
    assert not list(tmp_path.glob("*set*"))


def test_an_experiment_of_a_store_stays_in_its_folder(store, tmp_path):
    record = replace(attempt(0), about=attempt(0).about | {"config": "../../outside"})
    wrong = write(tmp_path / "wrong", [record])
    (tmp_path / "outside.json").write_text("secret")
    (tmp_path / "wrong" / "experiments").mkdir()
    export(wrong, tmp_path / "set")
    assert not list((tmp_path / "set").rglob("*outside*"))
    with pytest.raises(UserError, match=r"'\.\./\.\./outside' is no name of an experiment"):
        experiment_file("../../outside")


def test_a_condition_chooses_episodes(store, tmp_path):
    done = export(store, tmp_path / "set", "success > 0 -- those that reached")
    assert (done.episodes, done.steps) == (2, 12)
    import_dataset(tmp_path / "set", tmp_path / "back")
    assert open_store(tmp_path / "back").episode_ids() == ["reach-1", "reach-3"]
    for where, text in {"success > 7": "none of the 5 episodes", "succes": '"succes"'}.items():
        with pytest.raises(UserError, match=text):
            Selection(store, where)


def test_images_may_be_left_out_if_they_do_not_fit(tmp_path):
    ends = [
        replace(attempt(n), frames={k: np.array([0, 4 + n]) for k in ("top.rgb", "top.depth")})
        for n in range(2)
    ]
    ends = [replace(r, images={k: v[[0, -1]] for k, v in r.images.items()}) for r in ends]
    store = write(tmp_path / "store", ends)
    with pytest.raises(
        UserError, match=r"no image 'top.rgb' of step 1 .*image_steps=all, or .*none"
    ):
        export(store, tmp_path / "set")
    assert sorted(path.name for path in tmp_path.iterdir()) == ["cache", "store"]
    done = export(store, tmp_path / "set", images="none")
    assert done.left_out == ("images top.rgb", "images top.depth")
    import_dataset(tmp_path / "set", tmp_path / "back")
    assert_same(
        open_store(tmp_path / "back").episode("reach-1"), replace(ends[1], images={}, frames={})
    )


@pytest.mark.parametrize(
    ("options", "text"),
    [
        ({"images": "jpeg"}, "unknown kind of images 'jpeg'"),
        ({"state": ["arm.joints"]}, "--state: unknown array of steps 'arm.joints'"),
        ({"state": ["time_ns"]}, "'time_ns' is int64"),
        ({"fps": 0.0}, "--fps: 0 frames a second"),
        ({"fps": -10.0}, "--fps: -10 frames a second"),
        ({"fps": math.nan}, "--fps: nan frames a second"),
    ],
)
def test_what_is_wrong_is_said_before_anything_is_written(store, tmp_path, options, text):
    with pytest.raises(UserError, match=text):
        export(store, tmp_path / "set", **options)
    assert not (tmp_path / "set").exists()


def test_rates_must_be_one(tmp_path):
    records = [attempt(0), attempt(1)]
    records[1].steps["time_ns"] *= 2
    with pytest.raises(UserError, match="'reach-1' has 25 steps a second, not 50"):
        export(write(tmp_path / "two", records), tmp_path / "set")
    records[0].steps["time_ns"][2] += 5
    with pytest.raises(UserError, match="'reach-0': its steps are not evenly apart"):
        export(write(tmp_path / "uneven", records[:1]), tmp_path / "set")
    # an episode of one step says nothing
    export(write(tmp_path / "short", [attempt(2, 1), attempt(3)]), tmp_path / "short-set")
    assert json.loads((tmp_path / "short-set" / "meta" / "info.json").read_text())["fps"] == 50
    # thirds of a nanosecond are not kept
    records[0].steps["time_ns"][:] = np.rint(np.arange(4) * 1e9 / 30)
    export(write(tmp_path / "thirds", records[:1]), tmp_path / "thirds-set")
    assert json.loads((tmp_path / "thirds-set" / "meta" / "info.json").read_text())["fps"] == 30
    del records[0].steps["time_ns"]
    untimed = write(tmp_path / "untimed", records[:1])
    with pytest.raises(UserError, match="give --fps"):
        export(untimed, tmp_path / "set")
    export(untimed, tmp_path / "set", fps=12.5)
    assert frames_of(tmp_path / "set")["timestamp"].tolist() == pytest.approx([0, 0.08, 0.16, 0.24])


def test_odd_sizes_do_not_go_into_films(tmp_path):
    record = attempt(0)
    record.images["top.rgb"] = record.images["top.rgb"][:, :15]
    with pytest.raises(UserError, match="15 × 32 pixels"):
        export(write(tmp_path / "store", [record]), tmp_path / "set", images="video")


def test_only_data_sets_are_replaced_and_only_if_asked(store, tmp_path):
    export(store, tmp_path / "set")
    with pytest.raises(UserError, match="exists; choose another, or --force"):
        export(store, tmp_path / "set")
    export(store, tmp_path / "set", "success > 0", force=True)
    assert len(frames_of(tmp_path / "set")) == 12
    with pytest.raises(UserError, match="won't replace it"):
        export(store, tmp_path / "reach", force=True)
    assert len(open_store(tmp_path / "reach").episode_ids()) == 5


def test_where_one_is_may_become_a_data_set(store, tmp_path, monkeypatch):
    (tmp_path / "here").mkdir()
    monkeypatch.chdir(tmp_path / "here")
    export(store, Path())
    monkeypatch.chdir(tmp_path)
    assert import_dataset(tmp_path / "here", tmp_path / "back").episodes == 5


def test_tasks_that_cannot_be_read_are_named(store, tmp_path):
    export(store, tmp_path / "set")
    shutil.rmtree(tmp_path / "set" / "meta" / "troupe")
    tasks = tmp_path / "set" / "meta" / "tasks.parquet"
    numbers = pq.read_table(tasks)
    pq.write_table(numbers.slice(0, 0), tasks)
    with pytest.raises(UserError, match="episode 0: unknown task_index '0'"):
        import_dataset(tmp_path / "set", tmp_path / "back")
    pq.write_table(numbers.select(["task_index"]), tasks)
    with pytest.raises(UserError, match=r"has the columns \['task_index'\], not"):
        import_dataset(tmp_path / "set", tmp_path / "back")
    tasks.unlink()
    with pytest.raises(UserError, match=r"tasks\.parquet' cannot be read"):
        import_dataset(tmp_path / "set", tmp_path / "back")


def test_a_damaged_data_set_is_named(store, tmp_path, monkeypatch):
    monkeypatch.setattr(exporting, "DATA_MB", 0)
    monkeypatch.setattr(files, "GROUP_BYTES", 1)
    export(store, tmp_path / "set")
    (tmp_path / "set" / "data" / "chunk-000" / "file-004.parquet").unlink()
    with pytest.raises(TroupeError, match="says that it has 5 episodes, but has 4"):
        import_dataset(tmp_path / "set", tmp_path / "back")
    (tmp_path / "set" / "data" / "chunk-000" / "file-001.parquet").write_bytes(b"nothing")
    with pytest.raises(TroupeError, match="cannot be read"):
        import_dataset(tmp_path / "set", tmp_path / "back2")
    info = tmp_path / "set" / "meta" / "info.json"
    info.write_text(info.read_text().replace("v3.0", "v2.1"))
    with pytest.raises(UserError, match=r"LeRobotDataset v2\.1"):
        import_dataset(tmp_path / "set", tmp_path / "back3")
    with pytest.raises(UserError, match="there is no data set at"):
        import_dataset(tmp_path / "cache", tmp_path / "back3")
    assert not (tmp_path / "back3").exists()
