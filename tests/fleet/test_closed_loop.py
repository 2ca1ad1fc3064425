import json
import os
import signal
import subprocess
import sys
import time
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import yaml

from troupe.analysis.report import write_report
from troupe.analysis.runs import read_runs
from troupe.core.errors import EngineError, FunctionError, UserError
from troupe.episodes.recording import read_recording
from troupe.experiments.load import load_experiment
from troupe.fleet.closed_loop import run_loop
from troupe.fleet.launch import run_training
from troupe.fleet.replay import replay_run
from troupe.fleet.runs import RunDirectory

ENGINES = """
import os
import numpy as np
from troupe.engines.script import Script, pack

class Plant(Script):
    inputs = {"force": pack(unit="N")}
    outputs = {"position": pack(unit="m", initial=1.0), "velocity": pack(unit="m/s")}
    state = ()
    def setup(self, die_at_ms=None):
        self.die_at_ms = die_at_ms
    def step(self, duration_ns):
        if self.die_at_ms is not None and self.time_ns[0] >= self.die_at_ms * 1e6:
            print("the plant explodes", flush=True)
            os._exit(7)
        dt = duration_ns * 1e-9
        self.velocity += dt * self.force
        self.position += dt * self.velocity

class Forgetful(Plant):
    state = None
"""

FUNCTIONS = """
from troupe.loop import From, SimulationTime, To, status, transceiver

@transceiver
def control(x: From("plant.position", unit="m"), v: From("plant.velocity")) -> To("plant.force"):
    return -20 * x - 9 * v

@status
def settled(x: From("plant.position")) -> bool:
    return abs(x) < 0.01
"""

TASK = """
import numpy as np
from troupe.tasks.script import ScriptTask

class Hold(ScriptTask):
    observations = ("plant.position", "plant.velocity")
    actions = {"plant.force": (-5.0, 5.0)}
    def reward(self, world, action):
        return -np.abs(world.read("plant.position"))
"""


@pytest.fixture
def spring(tmp_path: Path) -> Path:
    """Return the file of an experiment: a mass that a function pulls back."""
    (tmp_path / "engines.py").write_text(ENGINES)
    (tmp_path / "functions.py").write_text(FUNCTIONS)
    description = {
        "name": "spring",
        "engines": {"plant": {"type": "script", "file": "engines.py", "class_name": "Plant"}},
        "loop": {"step": "10ms", "duration": "10s", "functions": ["functions.py"]},
    }
    path = tmp_path / "spring.yaml"
    path.write_text(yaml.safe_dump(description))
    return path


def run(spring: Path, *overrides: str, out: str = "run") -> dict[str, Any]:
    return run_loop(load_experiment(spring, overrides), spring.parent / out)


def test_a_run_ends_by_its_status_function_and_is_recorded(spring: Path) -> None:
    summary = run(spring)
    recording = read_recording(spring.parent / "run" / "recording")
    assert summary["stop_reason"] == "status"
    assert set(recording) == {"plant.position", "plant.velocity", "plant.force"}
    position = recording["plant.position"]
    assert len(position.time_ns) == summary["iterations"]
    assert position.time_ns[-1] == round(summary["time_s"] * 1e9)
    assert abs(position.values[-1, 0]) < 0.01 < abs(position.values[-2, 0])
    force = -20 * position.values - 9 * recording["plant.velocity"].values
    np.testing.assert_allclose(recording["plant.force"].values, force)
    assert position.spec.unit == "m"


def test_a_run_ends_at_its_duration_with_the_state_then(spring: Path) -> None:
    summary = run(spring, "loop.duration=255ms", "loop.record.packs=[plant.position]")
    recording = read_recording(spring.parent / "run" / "recording")
    assert (summary["stop_reason"], summary["time_s"]) == ("duration", 0.25)
    assert recording.keys() == {"plant.position"}
    assert recording["plant.position"].time_ns.tolist() == list(range(0, 260_000_000, 10_000_000))


def test_records_can_be_rarer(spring: Path) -> None:
    run(spring, "loop.duration=100ms", "loop.record.every=30ms")
    time_ns = read_recording(spring.parent / "run" / "recording")["plant.position"].time_ns
    assert time_ns.tolist() == [0, 30_000_000, 60_000_000, 90_000_000]


def test_elsewhere_it_does_the_same(spring: Path) -> None:
    run(spring, "loop.duration=500ms")
    run(spring, "loop.duration=500ms", "engines.plant.host=process", out="other")
    here, there = (read_recording(spring.parent / o / "recording") for o in ("run", "other"))
    for pack, recorded in here.items():
        np.testing.assert_array_equal(there[pack].values, recorded.values)


def test_paced_to_real_time_the_summary_tells_of_deadlines(spring: Path) -> None:
    pacing = run(spring, "loop.duration=200ms", "loop.real_time=2")["pacing"]
    assert pacing["deadlines"] == 20
    assert pacing["real_time_factor"] == 2


def test_a_replay_finds_no_difference_or_the_first_one(spring: Path) -> None:
    run(spring)
    same = replay_run(spring.parent / "run")
    assert same.difference is None
    assert same.samples == 3 * len(
        read_recording(spring.parent / "run" / "recording")["plant.position"].time_ns
    )
    functions = spring.parent / "functions.py"
    functions.write_text(FUNCTIONS.replace("- 9 * v", "- 9 * v - 0.25 * (x < 0.5)"))
    difference = replay_run(spring.parent / "run").difference
    assert difference is not None
    assert difference.pack == "plant.force"
    position = read_recording(spring.parent / "run" / "recording")["plant.position"]
    first = int(np.argmax(position.values[:, 0] < 0.5))
    assert difference.time_ns == position.time_ns[first]
    assert difference.replayed == pytest.approx(difference.recorded - 0.25)


def test_a_function_that_raises_keeps_the_recording(spring: Path) -> None:
    functions = spring.parent / "functions.py"
    functions.write_text(
        FUNCTIONS.replace("return -20 * x", "1 // int(x[0] > 0.5)\n    return -20 * x")
    )
    with pytest.raises(FunctionError, match=r"function 'control' raised at 0\.\d+ s:"):
        run(spring)
    recording = read_recording(spring.parent / "run" / "recording")["plant.position"]
    assert recording.values[-2, 0] > 0.5 >= recording.values[-1, 0]
    summary = RunDirectory.open(spring.parent / "run").read_json("summary.json")
    assert summary["stop_reason"] == "failed"
    assert "ZeroDivisionError" in summary["error"]


def test_what_an_engine_elsewhere_prints_is_seen(
    spring: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    engines = spring.parent / "engines.py"
    engines.write_text(ENGINES.replace("dt = duration_ns", "print('a step'); dt = duration_ns"))
    run(spring, "loop.duration=30ms", "engines.plant.host=process")
    assert capsys.readouterr().err == "a step\n" * 3


def test_an_engine_that_dies_is_named_with_its_last_words_and_the_recording_is_kept(
    spring: Path,
) -> None:
    with pytest.raises(EngineError) as error:
        run(spring, "engines.plant.host=process", "engines.plant.parameters.die_at_ms=200")
    message = str(error.value)
    assert "plant" in message
    assert "7" in message
    assert "the plant explodes" in message
    recording = read_recording(spring.parent / "run" / "recording")["plant.position"]
    assert recording.time_ns[-1] == 200_000_000


@pytest.mark.parametrize(
    ("override", "message"),
    [
        ("loop.functions=[none.py]", "loop.functions.0: there is no file 'none.py' in"),
        ("loop.record.packs=[plant.positon]", "unknown datapack 'plant.positon'. Did you mean"),
        ("loop.record.packs=[plan.*]", "loop.record.packs: unknown engine 'plan'"),
        ("engines.plant.timestep=3ms", "engines.plant.sync: 10ms is not a multiple of the eng"),
        ("engines.plant.sync=1", "engines.plant.sync: 1 has no unit"),
        ("engines.plant.host=prozess", "engines.plant.host: String should match pattern"),
        ("loop.real_time=0", "loop.real_time: Input should be greater than 0"),
        ("loop.type=evnt", "loop.type: unknown loop 'evnt'. Did you mean 'event'"),
    ],
)
def test_bad_input_is_named_and_nothing_is_written(
    spring: Path, override: str, message: str
) -> None:
    with pytest.raises(UserError) as error:
        run(spring, override)
    assert message in str(error.value)
    assert not (spring.parent / "run").exists()


def test_a_run_without_an_end_is_refused(spring: Path) -> None:
    functions = spring.parent / "functions.py"
    functions.write_text(FUNCTIONS.partition("@status")[0].replace("status, ", ""))
    description = yaml.safe_load(spring.read_text())
    del description["loop"]["duration"]
    spring.write_text(yaml.safe_dump(description))
    with pytest.raises(UserError, match=r"loop\.duration: give how long to run"):
        run(spring)


def test_a_run_that_is_there_is_not_overwritten(spring: Path) -> None:
    run(spring, "loop.duration=50ms")
    with pytest.raises(UserError, match="exists"):
        run(spring, "loop.duration=50ms")


def test_ctrl_c_ends_a_run_with_its_recording_complete(spring: Path) -> None:
    arguments = ["run", str(spring), "--out", str(spring.parent / "run"), "--real-time", "0.02"]
    process = subprocess.Popen(
        [sys.executable, "-m", "troupe", *arguments], stderr=subprocess.PIPE, text=True
    )
    while not (spring.parent / "run" / "run.log").exists():
        assert process.poll() is None
        time.sleep(0.02)
    os.kill(process.pid, signal.SIGINT)
    _, err = process.communicate()
    assert process.returncode == 130
    assert "complete until then" in err
    summary = json.loads((spring.parent / "run" / "summary.json").read_text())
    recording = read_recording(spring.parent / "run" / "recording")["plant.position"]
    assert summary["stop_reason"] == "interrupted"
    assert recording.time_ns[-1] == round(summary["time_s"] * 1e9)


def test_the_report_shows_all_packs(spring: Path) -> None:
    run(spring)
    page = write_report(read_runs([spring.parent / "run"]), spring.parent / "report.html")
    text = page.read_text()
    assert "ended by its status function" in text
    assert all(pack in text for pack in ("plant.position", "plant.velocity", "plant.force"))
    assert (spring.parent / "report_figures" / "traces.png").stat().st_size > 10_000


def test_training_resumes_with_new_episodes_where_an_engine_cannot_snapshot(spring: Path) -> None:
    (spring.parent / "task.py").write_text(TASK)
    overrides = [
        "engines.plant.class_name=Forgetful",
        "loop={step: 10ms}",
        "task={type: script, file: task.py, episode: 200ms}",
        "learner={type: ppo, batch: 64, minibatch: 32, epochs: 1}",
        "fleet={instances: 4}",
        "evaluation.episodes=2",
    ]
    out = spring.parent / "trained"
    run_training(load_experiment(spring, [*overrides, "steps=128"]), out)
    summary = run_training(load_experiment(spring, [*overrides, "steps=256"]), out, resume=True)
    assert (summary["steps"], summary["dropped_steps"]) == (256, 0)
    assert summary["abandoned_episodes"] == 4
    assert "the unfinished episodes end here" in (out / "run.log").read_text()
