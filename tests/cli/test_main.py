import json
import os
import signal
import sys
from pathlib import Path

import pytest
import yaml

from troupe.cli import entry
from troupe.experiments.load import catalog_names
from troupe.fleet.training import Training

TINY = [
    "fleet.instances=16",
    "learner.batch=256",
    "learner.minibatch=64",
    "task.episode=400ms",
    "evaluation.episodes=5",
    "steps=512",
]
SET = [part for override in TINY for part in ("--set", override)]


@pytest.fixture(autouse=True)
def here(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)


def test_train_evaluate_report_and_compare(troupe):
    code, out, err = troupe("train", "scara-reach", *SET, "--out", "a", "--json")
    assert code == 0, err
    summary = json.loads(out)
    expected = {"run", "steps", "wall_s", "startup_s", "steps_per_s", "updates", "dropped_steps"}
    assert expected | {"evaluation"} <= summary.keys()
    assert Path("a/report.html").is_file()

    code, out, _ = troupe("evaluate", "a", "--episodes", "20", "--seed", "3", "--json")
    evaluation = json.loads(out)
    assert code == 0
    assert set(evaluation["accuracy_mm"]) == {"mean", "median", "p95", "p99", "max"}
    assert {"ap_mm", "rp_mm"} <= evaluation["iso9283"].keys()
    assert evaluation["episodes"] == 20
    assert {"success_rate", "repeatability_mm"} <= evaluation.keys()

    # in another world than the run's, if the policy fits
    brief = ("--episodes", "20", "--seed", "3", "--set", "task.episode=1s")
    code, out, _ = troupe("evaluate", "a", *brief, "--json")
    assert code == 0
    assert json.loads(out)["mean_return"] != evaluation["mean_return"]
    code, _, err = troupe("evaluate", "a", "--set", "task.orientation=true")
    assert code == 2
    assert "observations are then of shape" in err

    code, _, err = troupe("train", "scara-reach", *SET, "--out", "b")
    assert code == 0
    assert "512/512 steps" in err
    assert "accuracy: mean" in err
    assert "report: b/report.html" in err
    code, out, _ = troupe("compare", "a", "b", "--json")
    assert code == 0
    assert json.loads(out)["equal_curves"] is True
    code, _, err = troupe("report", "a", "b", "--out", "both.html", "--price-per-hour", "0.134")
    assert code == 0
    assert "0.134" in Path("both.html").read_text()


def test_resume_goes_on_with_the_settings_of_the_run(troupe):
    assert troupe("train", "scara-reach", *SET, "--out", "a", "--json")[0] == 0
    code, out, err = troupe("train", "--resume", "a", "--set", "steps=1024", "--json")
    assert code == 0, err
    assert json.loads(out)["steps"] == 1024
    config = yaml.safe_load(Path("a/config.yaml").read_text())
    assert (config["steps"], config["fleet"]["instances"]) == (1024, 16)

    code, _, err = troupe("train", "--resume", "a", "--seed", "1")
    assert code == 2
    assert "is a checkpoint of another experiment" in err
    code, _, err = troupe("train", "--resume", "a", "--out", "b")
    assert code == 2
    assert "leave out --out" in err


@pytest.mark.parametrize("number", [signal.SIGINT, signal.SIGTERM])
def test_an_interruption_of_the_start_leaves_nothing(troupe, tmp_path, monkeypatch, number):
    def interrupted(training: Training) -> None:
        os.kill(os.getpid(), number)

    with monkeypatch.context() as patched:
        patched.setattr(Training, "_prepare", interrupted)
        assert troupe("train", "scara-reach", *SET, "--out", "a")[0] == 130
    assert list(tmp_path.iterdir()) == []


def test_train_any_gymnasium_environment(troupe):
    sizes = ["fleet.instances=4", "learner.batch=256", "learner.minibatch=64", "steps=512"]
    settings = [part for size in sizes for part in ("--set", size)]
    code, out, err = troupe("train", "--env", "CartPole-v1", *settings, "--out", "a", "--json")
    assert code == 0, err
    assert json.loads(out)["evaluation"]["mean_return"] > 5
    assert "<html" in Path("a/report.html").read_text()
    code, _, err = troupe("evaluate", "a", "--episodes", "3")
    assert code == 0
    assert "mean return" in err


@pytest.mark.parametrize("source", [*catalog_names(), "--env=CartPole-v1"])
def test_what_show_prints_is_the_experiment(troupe, source):
    code, out, _ = troupe("show", source)
    assert code == 0
    Path("mine.yaml").write_text(out)
    assert troupe("show", "mine.yaml") == (0, out, "")


@pytest.mark.parametrize(
    "words", [["train", "scara-reach", "--workers", "two"], ["trian"], ["evaluate"]]
)
def test_a_wrong_command_line_ends_with_exit_code_2(troupe, words):
    code, out, err = troupe(*words)
    assert code == 2
    assert out == ""
    assert "Usage:" in err


def test_list_show_and_doctor(troupe):
    code, out, _ = troupe("list")
    assert code == 0
    assert "scara-reach" in out
    code, out, _ = troupe("show", "scara-reach", "--set", "learner.gamma=0.5")
    shown = yaml.safe_load(out)
    assert code == 0
    assert shown["learner"]["gamma"] == 0.5
    code, out, _ = troupe("doctor", "--json")
    checks = {check["name"]: check for check in json.loads(out)["checks"]}
    assert checks["Python"]["mend"] is None
    assert code == (1 if any(check["mend"] for check in checks.values()) else 0)


def test_doctor_says_what_mends_a_finding(troupe, monkeypatch):
    monkeypatch.setenv("RAY_ADDRESS", "127.0.0.1:1")
    code, out, _ = troupe("doctor")
    assert code == 1
    assert "MEND  Ray: no Ray cluster answers at '127.0.0.1:1'" in out
    assert "ray start --head" in out


def test_a_dry_run_writes_nothing(troupe, tmp_path):
    code, out, _ = troupe("train", "scara-reach", "--dry-run", "--out", "a")
    assert code == 0
    assert yaml.safe_load(out)["name"] == "scara-reach"
    assert list(tmp_path.iterdir()) == []


BAD_INPUT = {
    "unknown experiment": (
        ["scara-rich"],
        "unknown experiment 'scara-rich'. Did you mean 'scara-reach'?",
    ),
    "no experiment": ([], "give one of: an experiment"),
    "missing file": (["my.yaml"], "experiment file 'my.yaml' does not exist"),
    "unknown key": (
        ["scara-reach", "--set", "learner.gama=1"],
        "learner: unknown key 'gama'. Did you mean 'gamma'?",
    ),
    "unknown top key": (
        ["scara-reach", "--set", "step=1"],
        "unknown key 'step'. Did you mean 'steps'?",
    ),
    "override without value": (["scara-reach", "--set", "steps"], "write key=value"),
    "out of range": (["scara-reach", "--set", "learner.gamma=1.5"], "learner.gamma"),
    "no unit": (["scara-reach", "--set", "loop.step=20"], "20 has no unit"),
    "wrong unit": (["scara-reach", "--set", "loop.step=20kg"], "not a duration"),
    "negative workers": (["scara-reach", "--workers", "-1"], "fleet.workers"),
    "unknown robot": (
        ["scara-reach", "--set", "engines.arm.robot=sacra"],
        "unknown robot 'sacra'. Did you mean 'scara'?",
    ),
    "unknown engine type": (
        ["scara-reach", "--set", "engines.arm.type=mujoko"],
        "engines.arm.type: unknown engine 'mujoko'. Did you mean 'mujoco'?",
    ),
    "unknown environment": (["--env", "HalfChetah-v5"], "HalfCheetah-v5"),
    "target out of reach": (
        ["scara-reach", "--set", "task.target=[[2,0,0]]"],
        "outside the workspace",
    ),
    "minibatch": (
        ["scara-reach", "--set", "learner.minibatch=500"],
        "minibatch (500) must divide batch",
    ),
    "instances": (
        ["scara-reach", "--set", "fleet.instances=60"],
        "must be a multiple of fleet.instances",
    ),
    "no run to resume": (["--resume", "nothing"], "not a run directory"),
    "grid": (["scara-reach", "--set", "seed={grid_search: 3}"], "give a list of values"),
    "bad value in a grid": (
        ["scara-reach", "--set", "learner.gamma={grid_search: [0.9, 3]}"],
        "learner.gamma",
    ),
    "unknown metric": (
        ["scara-reach", "--set", "stop={metric: reward, value: 0}"],
        "stop.metric: unknown metric 'reward'",
    ),
    "more workers than instances": (["scara-reach", "--workers", "65"], "fleet.workers: 65"),
    "address without port": (
        ["scara-reach", "--workers", "1", "--address", "there"],
        "write host:port",
    ),
    "store for one that samples": (
        ["scara-reach", "--store", "nowhere"],
        "'ppo' samples itself; valid with --store: bc, iql",
    ),
    "no store": (
        ["scara-reach", "--set", "learner.type=bc", "--store", "nowhere"],
        "nowhere': no store.json",
    ),
    "where without store": (["scara-reach", "--where", "success > 0"], "of a --store"),
    "store to resume": (["--resume", "run", "--store", "there"], "leave out --store"),
    "grid with a store": (
        ["scara-reach", "--set", "seed={grid_search: [0, 1]}", "--store", "there"],
        "leave out grid_search",
    ),
    "address": (["scara-reach", "--workers", "1", "--address", "127.0.0.1:1"], "127.0.0.1:1"),
}


@pytest.mark.parametrize(("words", "message"), BAD_INPUT.values(), ids=BAD_INPUT.keys())
def test_bad_input_is_one_message_and_leaves_nothing(troupe, tmp_path, words, message):
    place = [] if "--resume" in words else ["--out", "run"]
    code, out, err = troupe("train", *words, *place)
    assert code == 2, err
    assert message in " ".join(err.split())
    assert "Traceback" not in err
    assert out == ""
    assert list(tmp_path.iterdir()) == []


def test_a_model_that_does_not_compile_is_named(troupe, tmp_path):
    Path("bad.xml").write_text("<mujoco><worldbody><nonsense/></worldbody></mujoco>")
    code, _, err = troupe(
        "train",
        "scara-reach",
        "--set",
        "engines.arm={robot: null, model: bad.xml}",
        "--out",
        "run",
    )
    assert code == 2
    assert "bad.xml" in err
    assert not Path("run").exists()


def test_an_output_that_exists_or_cannot_be_written_is_refused(troupe):
    Path("run").mkdir()
    Path("run/data").write_text("mine")
    assert troupe("train", "scara-reach", "--out", "run")[0] == 2
    assert Path("run/data").read_text() == "mine"
    Path("file").write_text("mine")
    code, _, err = troupe("train", "scara-reach", "--out", "file/run")
    assert code == 2
    assert "file/run" in err


def test_ctrl_c_while_commands_are_imported_ends_quietly(monkeypatch, capfd):
    class Interrupts:
        @staticmethod
        def find_spec(name, path=None, target=None):
            if name == "troupe.cli.main":
                raise KeyboardInterrupt

    monkeypatch.delitem(sys.modules, "troupe.cli.main", raising=False)
    monkeypatch.setattr(sys, "meta_path", [Interrupts, *sys.meta_path])
    with pytest.raises(SystemExit) as ended:
        entry()
    assert ended.value.code == 130
    assert capfd.readouterr() == ("", "")
