"""Collecting into a store: the same episodes whoever collects, each once, and any runs again."""

import json
import os
import signal
import subprocess
import sys
import threading
import time
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from troupe.core.errors import TroupeError, UserError
from troupe.episodes.store import EpisodeRecord, StoreWriter, open_store, verify
from troupe.experiments.load import load_experiment
from troupe.experiments.schema import Experiment
from troupe.fleet.collecting.crew import collect
from troupe.fleet.collecting.film import check_film, write_film
from troupe.fleet.collecting.replay import default_view, read_episode, replay_episode
from troupe.fleet.serving import Batch, connect

QUICK = (
    "fleet.instances=6",
    "task.count=[1, 1]",
    "engines.arm.scene.objects=1",
    "engines.arm.cameras.overhead.width=16",
    "engines.arm.cameras.overhead.height=12",
)


def grasp(*overrides: str) -> Experiment:
    """Attempts that are cheap to simulate."""
    return load_experiment("iiwa-grasp", [*QUICK, *overrides])


def assert_same(one: EpisodeRecord, other: EpisodeRecord) -> None:
    assert one.about == other.about
    assert one.draws == other.draws
    for kind in ("steps", "images", "frames"):
        mine, theirs = getattr(one, kind), getattr(other, kind)
        assert mine.keys() == theirs.keys()
        for name, values in mine.items():
            np.testing.assert_array_equal(values, theirs[name])


@pytest.fixture(scope="module")
def store(tmp_path_factory: pytest.TempPathFactory) -> str:
    """A store with a dozen attempts, collected in this process."""
    place = tmp_path_factory.mktemp("collected")
    collect(grasp(), str(place / "store"), 12, spool=place / "spool")
    return str(place / "store")


def test_episodes_are_whole_with_draws_actions_figures_and_images(store: str) -> None:
    opened = open_store(store)
    assert opened.num_episodes == 12
    assert verify(opened).wrong == {}
    for id in opened.episode_ids():
        record = opened.episode(id)
        about, length = record.about, record.about["length"]
        assert id == f"iiwa-grasp-0-{about['instance']}-{about['episode']}"
        assert len(record.steps["action"]) == length
        assert record.steps["arm.joint_position"].shape == (length, 7)
        assert record.images["overhead.rgb"].shape == (2, 12, 16, 3)
        assert record.images["overhead.depth"].shape == (2, 12, 16)
        # the first image is of the step in which the attempt is chosen, the last of the end
        decided = np.flatnonzero(record.steps["action"].any(axis=1))
        assert record.frames["overhead.rgb"].tolist() == [decided[0], length]
        assert len(decided) == 1
        assert about["return"] == about["success"]
        assert len(record.draws["objects"]) == 1


def test_every_look_of_a_closed_loop_is_kept_and_it_runs_again_bit_for_bit(tmp_path: Path) -> None:
    small = [text.replace("overhead", "shoulder") for text in QUICK]
    experiment = load_experiment("iiwa-grasp-closed-loop", [*small, "fleet.instances=2"])
    place = str(tmp_path / "store")
    collect(experiment, place, 2, spool=tmp_path / "spool")
    opened = open_store(place)
    for id in opened.episode_ids():
        record = opened.episode(id)
        decided = np.flatnonzero(record.steps["action"].any(axis=1))
        assert len(decided) == record.about["actions"] == 6
        length = record.about["length"]
        assert record.frames["shoulder.rgb"].tolist() == [*decided, length]
        assert record.images["shoulder.rgb"].shape == (7, 12, 16, 3)
        assert len(list(replay_episode(read_episode(opened, id)))) == length + 1


def test_an_episode_is_the_same_whoever_collects_it(store: str, tmp_path: Path) -> None:
    # other instances beside it, and another process of the same range
    other = str(tmp_path / "other")
    collect(grasp("fleet.instances=3"), other, 9, spool=tmp_path / "spool")
    one, two = open_store(store), open_store(other)
    shared = set(one.episode_ids()) & set(two.episode_ids())
    assert len(shared) >= 6
    for id in shared:
        assert_same(one.episode(id), two.episode(id))


def test_a_stored_episode_runs_again_bit_for_bit(store: str, tmp_path: Path) -> None:
    opened = open_store(store)
    id = opened.episode_ids()[-1]
    stored = read_episode(opened, id)
    moments = list(replay_episode(stored, default_view(stored.experiment, None, 16, 12)))
    record = stored.record
    assert len(moments) == record.about["length"] + 1
    for image, step in zip(
        record.images["overhead.rgb"], record.frames["overhead.rgb"], strict=True
    ):
        np.testing.assert_array_equal(moments[step].image, image)
    frames = [moment.image for moment in moments]
    for name in ("film.mp4", "film.png"):
        write_film(tmp_path / name, frames, 20.0)
        assert (tmp_path / name).stat().st_size > 500
    with pytest.raises(UserError, match=r"neither of \.mp4, \.png"):
        check_film(tmp_path / "film.gif")


def test_observations_before_and_after_each_step_are_kept_if_wanted(tmp_path: Path) -> None:
    experiment = grasp("collect.observations=true", "collect.images=[]", "fleet.instances=2")
    collect(experiment, str(tmp_path / "store"), 2, spool=tmp_path / "spool")
    opened = open_store(tmp_path / "store")
    for id in opened.episode_ids():
        steps = opened.episode(id).steps
        seen, after = steps["observation"], steps["next_observation"]
        np.testing.assert_array_equal(seen[1:], after[:-1])
        np.testing.assert_array_equal(seen[:, :7], steps["arm.joint_position"])
        # of a uniform policy, where it was asked
        decided = steps["action"].any(axis=1)
        np.testing.assert_allclose(steps["log_prob"], np.where(decided, -4 * np.log(2), 0))
        np.testing.assert_array_equal(steps["decides"], decided)
        assert len(list(replay_episode(read_episode(opened, id)))) == len(seen) + 1


def test_a_replay_that_differs_says_where(store: str, monkeypatch: pytest.MonkeyPatch) -> None:
    opened = open_store(store)
    id = opened.episode_ids()[0]
    record = opened.episode(id)
    other = record.steps["arm.joint_position"].copy()
    other[30, 2] += 1e-3
    record = replace(record, steps={**record.steps, "arm.joint_position": other})
    monkeypatch.setattr(opened, "episode", lambda id: record)
    with pytest.raises(TroupeError, match=r"not the same again: arm\.joint_position at step 30"):
        list(replay_episode(read_episode(opened, id)))


def test_a_randomised_episode_is_told_and_runs_again_bit_for_bit(tmp_path: Path) -> None:
    overrides = [*QUICK, "fleet.instances=3", "collect.image_steps=all", "task.episode=768ms"]
    experiment = load_experiment("iiwa-grasp-randomised", overrides)
    place = str(tmp_path / "store")
    collect(experiment, place, 4, spool=tmp_path / "spool")
    opened = open_store(place)
    told = opened.query(
        'SELECT id, "randomise.stiffness" AS gain FROM draws ORDER BY id'
    ).to_pydict()
    record = opened.episode(told["id"][0])
    assert record.draws["randomise.stiffness"] == told["gain"][0]
    assert len(record.draws["randomise.tray"]) == 3
    images = record.images["overhead.rgb"]
    others = [opened.episode(id).images["overhead.rgb"][0] for id in told["id"][1:]]
    # the world, the light and the camera differ: hardly a pixel is the same
    assert all((np.abs(images[0].astype(int) - other) > 5).mean() > 0.3 for other in others)
    stored = read_episode(opened, told["id"][0])
    moments = list(replay_episode(stored, default_view(stored.experiment, None, 16, 12)))
    for moment, image in zip(moments, images, strict=True):
        np.testing.assert_array_equal(moment.image, image)


def test_the_same_command_goes_on_after_the_last_episodes(store: str, tmp_path: Path) -> None:
    place = str(tmp_path / "store")
    for _ in range(2):
        collect(grasp(), place, 6, spool=tmp_path / "spool")
    ids = open_store(place).episode_ids()
    assert len(ids) == len(set(ids)) == 12
    for id in set(ids) & set(open_store(store).episode_ids()):
        assert_same(open_store(place).episode(id), open_store(store).episode(id))


def test_a_pace_changes_no_episode(store: str, tmp_path: Path) -> None:
    place = str(tmp_path / "store")
    collect(grasp(), place, 6, pace=20.0, spool=tmp_path / "spool")
    shared = set(open_store(place).episode_ids()) & set(open_store(store).episode_ids())
    assert len(shared) == 6
    for id in shared:
        assert_same(open_store(place).episode(id), open_store(store).episode(id))


@pytest.mark.slow
def test_the_heuristic_lifts_things_far_more_often_than_chance(tmp_path: Path) -> None:
    seen = load_experiment("iiwa-grasp", ["fleet.instances=20", "task.image=overhead.depth"])
    found = collect(seen, str(tmp_path / "store"), 60, policy="heuristic", spool=tmp_path)
    assert found["success_rate"] > 0.25
    actions = open_store(tmp_path / "store").query("SELECT x_m, y_m FROM episodes").to_pandas()
    assert actions.nunique().min() > 30


def test_a_fleet_that_is_evaluated_has_the_figures_of_the_same_episodes(tmp_path: Path) -> None:
    one = ("fleet.instances=4", "collect.images=[]", "engines.arm.cameras={}")
    collect(grasp(*one), str(tmp_path / "store"), 12, policy="zero", spool=tmp_path / "spool")
    table = open_store(tmp_path / "store").query("SELECT instance, episode, energy_j FROM episodes")
    stored = {(row["instance"], row["episode"]): row["energy_j"] for row in table.to_pylist()}

    def zeros(batch: Batch) -> np.ndarray:
        assert batch.ids.tolist() == [0, 1, 2, 3]
        return np.zeros((4, 4))

    with connect("iiwa-grasp", overrides=[*QUICK, *one], seed=0) as fleet:
        found = fleet.evaluate(zeros, 2)
        with pytest.raises(UserError, match="episodes: at least 1, not 0"):
            fleet.evaluate(zeros, 0)
    assert found["success"].shape == (4, 2)
    expected = [[stored[i, k] for k in range(2)] for i in range(4)]
    np.testing.assert_array_equal(found["energy_j"], expected)


def test_a_policy_of_a_run_collects(small, tmp_path: Path) -> None:
    from troupe.fleet.launch import run_training

    experiment = small(steps=512)
    run_training(experiment, tmp_path / "run")
    found = collect(
        experiment, str(tmp_path / "store"), 8, policy=str(tmp_path / "run"), spool=tmp_path
    )
    assert found["episodes"] == 8
    versions = open_store(tmp_path / "store").query("SELECT DISTINCT policy_version FROM episodes")
    assert versions.column(0).to_pylist() == [2]


@pytest.mark.parametrize(
    ("overrides", "policy", "message"),
    [
        (["collect.images=[arm.top.rgb]"], "random", "unknown datapack to read 'arm.top.rgb'"),
        (
            ["collect.images=[arm.overhead.heat]"],
            "random",
            "read 'arm.overhead.heat'. Did you mean",
        ),
        (["collect.images=[arm.joint_position]"], "random", "unknown image 'arm.joint_position'"),
        (["collect.record=[arm.joints]"], "random", "unknown datapack to read 'arm.joints'"),
        ([], "clever", "'clever' is neither a run's directory nor one of random, zero, heu"),
        ([], "heuristic", "add --set task.image=overhead.depth"),
        (["fleet.workers=9"], "random", "9 is more than there are instances"),
    ],
)
def test_what_cannot_be_collected_is_refused_before_a_store_is_made(
    tmp_path: Path, overrides: list[str], policy: str, message: str
) -> None:
    with pytest.raises(UserError) as caught:
        collect(grasp(*overrides), str(tmp_path / "store"), 1, policy=policy)
    assert message in str(caught.value)
    assert not (tmp_path / "store").exists()


def test_a_store_of_another_experiment_is_left_alone(store: str, small) -> None:
    before = open_store(store).num_episodes
    with pytest.raises(UserError, match=r"has another schema: .*steps\.action"):
        collect(small(), store, 1)
    assert open_store(store).num_episodes == before


@pytest.mark.slow
@pytest.mark.xdist_group("ray")
def test_workers_on_ray_collect_the_same_and_are_replaced_when_they_die(
    cluster: None, store: str, tmp_path: Path
) -> None:
    place, killed, lines = str(tmp_path / "store"), [], []

    def kill(progress) -> None:
        if not killed and progress.there >= 8:
            table = subprocess.run(["ps", "-A", "-o", "pid=,args="], capture_output=True, text=True)
            own = [line for line in table.stdout.splitlines() if "ray::CollectWorker" in line]
            killed.append(int(own[0].split()[0]))
            os.kill(killed[0], signal.SIGKILL)

    found = collect(
        grasp("fleet.workers=2"), place, 60, spool=tmp_path / "spool", report=kill, say=lines.append
    )
    assert found["worker_restarts"] == 1
    assert "its successor goes on after the last episode" in lines[0]
    opened = open_store(place)
    ids = opened.episode_ids()
    assert len(ids) == len(set(ids)) >= 60
    assert verify(opened).wrong == {}
    for id in set(ids) & set(open_store(store).episode_ids()):
        assert_same(opened.episode(id), open_store(store).episode(id))


@pytest.mark.slow
def test_what_was_acknowledged_survives_a_kill_and_an_interruption(tmp_path: Path) -> None:
    place = tmp_path / "store"
    command = [sys.executable, "-m", "troupe", "collect", "iiwa-grasp", "--store", str(place)]
    command += ["--spool", str(tmp_path / "spool"), "--episodes", "100000"]
    command += [text for override in QUICK for text in ("--set", override)]
    for number in (signal.SIGKILL, signal.SIGINT):
        with subprocess.Popen(command, stderr=subprocess.PIPE, text=True) as process:
            assert process.stderr is not None
            first = process.stderr.readline()
            process.send_signal(number)
            said = first + process.stderr.read()
        code = process.returncode
        acknowledged = int(first.split()[0].replace(",", ""))
        opened = open_store(place)
        assert opened.num_episodes >= acknowledged > 0
        assert verify(opened).wrong == {}
        ids = opened.episode_ids()
        assert len(ids) == len(set(ids))
    assert code == 130
    assert "the same command goes on after them" in said


def test_others_read_whole_episodes_while_collecting_goes_on(tmp_path: Path) -> None:
    place, seen, over = str(tmp_path / "store"), [], threading.Event()

    def read() -> None:
        while not over.is_set():
            if (Path(place) / "store.json").exists():
                opened = open_store(place)
                counts = "SELECT count(*), count(DISTINCT id) FROM episodes"
                seen.append(tuple(opened.query(counts).to_pylist()[0].values()))
            time.sleep(0.05)

    reader = threading.Thread(target=read)
    reader.start()
    for _ in range(3):
        collect(grasp(), place, 6, spool=tmp_path / "spool")
    over.set()
    reader.join()
    assert all(number == distinct for number, distinct in seen)
    assert sorted(seen) == seen


def test_a_writer_that_was_killed_leaves_its_spool_to_the_next(tmp_path: Path, store: str) -> None:
    # the same ids come again from another writer of the same name: nothing is there twice
    opened = open_store(store)
    id = opened.episode_ids()[0]
    with StoreWriter(opened, "iiwa-grasp-0-0", spool=tmp_path / "spool") as writer:
        assert not writer.add(opened.episode(id))
    assert json.dumps(opened.episode_ids().count(id)) == "1"


@pytest.mark.slow
def test_collecting_goes_on_while_the_store_is_away_and_loses_nothing(
    s3_server: Any, s3: str, tmp_path: Path
) -> None:
    spool = tmp_path / "spool"
    command = [sys.executable, "-m", "troupe", "collect", "scara-reach", "--store", s3]
    command += ["--set", "task.episode=100ms", "--instances", "64", "--episodes", "600"]
    environment = os.environ | {"AWS_MAX_ATTEMPTS": "1", "COLUMNS": "1000"}
    with subprocess.Popen(
        [*command, "--spool", str(spool)], stderr=subprocess.PIPE, text=True, env=environment
    ) as process:
        assert process.stderr is not None
        assert "256 of 600 episodes" in process.stderr.readline()
        s3_server.stop()
        said = [process.stderr.readline()]
        waiting = list(spool.rglob("*.parquet"))
        s3_server.start()
        said += process.stderr.readlines()
    assert process.returncode == 0, said
    assert "cannot be written, shards wait in" in said[0]
    assert waiting
    assert any("can be written again, after" in line for line in said)
    assert "600 episodes in" in "".join(said)
    opened = open_store(s3)
    ids = opened.episode_ids()
    assert len(ids) == len(set(ids)) >= 600
    assert verify(opened).wrong == {}
    assert not [file for file in spool.rglob("*") if file.is_file()]
