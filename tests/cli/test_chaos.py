"""`troupe chaos`, as users start it."""

import json
import subprocess
import sys
from pathlib import Path
from typing import Any

import pytest
import yaml

from troupe.cli.main import main
from troupe.experiments.load import load_experiment

EXPERIMENT = [
    "fleet.instances=12",
    "fleet.workers=3",
    "fleet.fragment=8",
    "fleet.mode=asynchronous",
    "engines.arm.step_time=2ms",
    "learner.batch=240",
    "learner.minibatch=60",
    "learner.hidden=[16,16]",
    "task.episode=400ms",
    "evaluation.episodes=20",
]


def troupe(*arguments: str) -> subprocess.CompletedProcess[str]:
    command = [sys.executable, "-m", "troupe", *arguments]
    return subprocess.run(command, capture_output=True, text=True, check=False)


def storm(folder: Path, blows: str, duration: str, overrides: list[str]) -> dict[str, Any]:
    """Return what a scripted storm against a small experiment says; the runs are in `folder`."""
    experiment, script = folder / "small.yaml", folder / "storm.yaml"
    experiment.write_text(yaml.safe_dump(load_experiment("scara-reach", overrides).resolved()))
    script.write_text(blows)
    place = ["--script", str(script), "--duration", duration, "--out", str(folder)]
    done = troupe("chaos", str(experiment), *place, "--json")
    assert done.returncode == 0, done.stderr
    return json.loads(done.stdout)


@pytest.mark.slow
@pytest.mark.timeout(900)
@pytest.mark.xdist_group("ray")
def test_a_storm_loses_nothing_that_has_arrived(tmp_path):
    blows = "- {at: 500ms, kill: actor}\n- {at: 2500ms, kill: learner}\n"
    found = storm(tmp_path, blows, "5s", EXPERIMENT)
    assert found["kills"] == {"actor": 1, "learner": 1}
    assert (found["missed"], found["restarts"]) == (0, 1)
    steps = found["steps"]
    assert steps["acknowledged_lost"] == steps["sampled_again"] == 0
    calm = json.loads((tmp_path / "calm" / "summary.json").read_text())
    assert steps["learned"] == calm["steps"] > 0
    # at most what three workers of four instances had been asked for, twice
    assert 0 < steps["unacknowledged_lost"] <= 2 * 3 * 4 * 4 * 8
    assert 0 < found["throughput_retained"]
    actor, learner = found["hits"]
    assert learner["recovered_s"] > learner["back_s"] > 0
    assert learner["lost"] == 0 < actor["arrived"] < learner["arrived"]
    assert found["return"]["episodes"] == 20


@pytest.mark.slow
@pytest.mark.timeout(900)
@pytest.mark.xdist_group("ray")
def test_the_death_of_ray_itself_loses_nothing_that_has_arrived(tmp_path):
    found = storm(tmp_path, "- {at: 1500ms, kill: node}\n", "3s", EXPERIMENT)
    assert (found["kills"], found["missed"], found["restarts"]) == ({"node": 1}, 0, 1)
    assert found["steps"]["acknowledged_lost"] == 0


@pytest.mark.slow
@pytest.mark.timeout(900)
@pytest.mark.xdist_group("ray")
def test_one_of_several_learners_dies_and_the_others_go_on(tmp_path):
    alone = [o for o in EXPERIMENT if not o.startswith(("fleet.workers", "fleet.mode"))]
    blows = "- {at: 1s, kill: learner, which: 1}\n"
    found = storm(tmp_path, blows, "8s", [*alone, "fleet.learners=2"])
    assert (found["kills"], found["missed"]) == ({"learner": 1}, 0)
    assert found["steps"]["acknowledged_lost"] == 0
    summary = json.loads((tmp_path / "storm" / "summary.json").read_text())
    assert [worker["restarts"] for worker in summary["by_worker"]] == [0, 1]


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        (["--duration", "10"], "--duration: '10' is not a duration"),
        (["--kill-actor-every", "0s"], "--kill-actor-every"),
        (["--kill-actor-every", "1s"], "fleet.workers is 0: there are no actors"),
        (["--workers", "2", "--script", "no.yaml"], "storm 'no.yaml' cannot be read"),
        (["--kill-learner-every", "1s", "--script", "no.yaml"], "give either --script or"),
    ],
)
def test_what_is_wrong_is_told_before_anything_starts(
    tmp_path, monkeypatch, capsys, arguments, message
):
    monkeypatch.chdir(tmp_path)
    monkeypatch.setattr("sys.argv", ["troupe", "chaos", "scara-reach", *arguments])
    with pytest.raises(SystemExit) as ended:
        main()
    assert ended.value.code == 2
    assert message in capsys.readouterr().err
    assert not Path("runs").exists()
