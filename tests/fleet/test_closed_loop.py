import json
import os
import signal
import subprocess
import sys
import time
from pathlib import Path
from typing import Any

import numpy as np
import pyarrow.compute as pc
import pyarrow.parquet as pq
import pytest
import yaml

from troupe.analysis.report import write_report
from troupe.analysis.runs import read_runs
from troupe.cli.main import main
from troupe.core.errors import EngineError, FunctionError, TroupeError, UserError
from troupe.episodes.recording import RecordingWriter, read_recording
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
    def setup(self, die_at_ms=None, leave=False):
        self.die_at_ms = die_at_ms
        if leave:
            raise SystemExit(0)
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
        ("loop=null", "loop: give a mapping, e.g. {step: 20ms}, not None"),
        ("loop.real_time=.inf", "loop.real_time: Input should be a finite number"),
        ("engines={a/b: {type: script, file: engines.py}}", "engines: 'a/b' is no name"),
        ("engines.plant.parameters.leave=true", "a file of the experiment exits:\n"),
        ("loop.connections=[{from: plant.position, delivery: once}]", "delivery: once is for pac"),
        ("loop.connections=[{to: plant.force}, {to: plant.force}]", "'plant.force' stands twice"),
    ],
)
def test_bad_input_is_named_and_nothing_is_written(
    spring: Path, override: str, message: str
) -> None:
    with pytest.raises(UserError) as error:
        run(spring, override)
    assert message in str(error.value)
    assert not (spring.parent / "run").exists()


def test_a_function_that_raises_at_the_start_is_wrong_input(spring: Path) -> None:
    functions = spring.parent / "functions.py"
    functions.write_text(FUNCTIONS.replace("return -20 * x", "return -20 * y"))
    with pytest.raises(UserError, match=r"function 'control' raised at 0 s:\n.*\n.*\n(.*\n)?NameE"):
        run(spring)
    assert not (spring.parent / "run").exists()


def test_a_value_that_an_engine_refuses_in_mid_run_fails_the_run(spring: Path) -> None:
    engines = spring.parent / "engines.py"
    engines.write_text(ENGINES.replace('{"force"', '{"note": pack(object), "force"'))
    functions = spring.parent / "functions.py"
    note = "@transceiver\ndef note(t: SimulationTime) -> To('plant.note'):\n"
    functions.write_text(f"{FUNCTIONS}\n{note}    return {{'t': object() if t > 30e6 else t}}\n")
    with pytest.raises(EngineError, match=r"at 0\.04 s: plant\.note: .* is not JSON"):
        run(spring, "engines.plant.host=process")
    summary = RunDirectory.open(spring.parent / "run").read_json("summary.json")
    assert summary["stop_reason"] == "failed"


def test_a_run_that_cannot_be_written_any_more_has_a_summary(
    spring: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    def fill(self: RecordingWriter) -> None:
        raise TroupeError("no space left")

    monkeypatch.setattr(RecordingWriter, "flush", fill)
    with pytest.raises(TroupeError, match="no space left"):
        run(spring)
    summary = RunDirectory.open(spring.parent / "run").read_json("summary.json")
    assert (summary["stop_reason"], summary["error"]) == ("failed", "no space left")


@pytest.mark.parametrize("how", ["function", "engine", "kill"])
def test_what_was_kept_of_a_run_that_failed_can_be_replayed(spring: Path, how: str) -> None:
    functions = spring.parent / "functions.py"
    if how == "function":
        raising = "\n@transceiver\ndef late(t: SimulationTime) -> To('plant.force'):\n    "
        functions.write_text(
            f"{FUNCTIONS}{raising}return None if t < 50e6 else 1 / (t - 5 * 10**7)\n"
        )
        with pytest.raises(FunctionError):
            run(spring)
    elif how == "engine":
        with pytest.raises(EngineError):
            run(spring, "engines.plant.host=process", "engines.plant.parameters.die_at_ms=50")
    else:
        run(spring, "loop.duration=55ms")
        (spring.parent / "run" / "summary.json").unlink()
        shorten(spring.parent / "run" / "recording", 50_000_000)
    replay = replay_run(spring.parent / "run")
    assert replay.difference is None
    assert replay.samples == 3 * (5 if how == "kill" else 6)


def shorten(recording: Path, until_ns: int) -> None:
    """Leave out what a run had not yet written when it was killed."""
    for file in recording.rglob("*.parquet"):
        table = pq.read_table(file)
        pq.write_table(table.filter(pc.field("time_ns") < until_ns), file)


def test_json_that_differs_is_told(spring: Path) -> None:
    engines = spring.parent / "engines.py"
    text = ENGINES.replace('"velocity": pack', '"note": pack(object), "velocity": pack')
    text = text.replace(
        "        dt =", "        self.note = [{'n': (1, float('nan'))}]\n        dt ="
    )
    engines.write_text(text)
    run(spring, "loop.duration=50ms", "loop.record.packs=[plant.note]")
    assert replay_run(spring.parent / "run").difference is None
    engines.write_text(text.replace("(1, ", "(2, "))
    difference = replay_run(spring.parent / "run").difference
    assert difference is not None
    assert (difference.time_ns, difference.replayed["n"][0]) == (10_000_000, 2)
    engines.write_text(ENGINES)  # without the pack
    with pytest.raises(UserError, match=r"loop.record.packs: unknown datapack 'plant.note'"):
        replay_run(spring.parent / "run")


def test_with_json_what_the_users_files_print_is_apart(
    spring: Path, capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    functions = spring.parent / "functions.py"
    functions.write_text(FUNCTIONS.replace("return abs", "print('looking')\n    return abs"))
    arguments = ["run", str(spring), "--json", "--out", str(spring.parent / "run")]
    monkeypatch.setattr(sys, "argv", ["troupe", *arguments])
    with pytest.raises(SystemExit) as end:
        main()
    assert not end.value.code
    out, err = capsys.readouterr()
    assert json.loads(out)["stop_reason"] == "status"
    assert "looking" in err


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
