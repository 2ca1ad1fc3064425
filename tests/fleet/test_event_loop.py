"""Experiments with nodes, in an event loop and in a fixed-step one."""

from pathlib import Path
from typing import Any

import pytest

from troupe.core.errors import UserError
from troupe.engines.host import open_engine
from troupe.engines.host.engine import HostedEngine
from troupe.engines.script_settings import ScriptSettings
from troupe.episodes.recording import read_recording
from troupe.experiments.load import build_experiment
from troupe.experiments.schema import Experiment
from troupe.fleet.closed_loop import run_loop
from troupe.fleet.replay import replay_run

CART = """
from pathlib import Path
import time
from troupe.engines.script import Script, pack

class Cart(Script):
    inputs = {"force": pack(unit="N")}
    outputs = {"place": pack(unit="m", initial=1.0)}

    def setup(self, wait_for=None):
        self.wait_for = wait_for

    def step(self, duration_ns):
        while self.wait_for is not None and not Path(self.wait_for).exists():
            time.sleep(0.01)
        self.place += self.force * duration_ns / 1e9
"""

NODES = """
from troupe.loop import From, Out, Previous, To, node

@node
def spring(place: From("cart.place"), before: Previous("force")) -> tuple[
    Out("force"), To("cart.force")
]:
    force = 0.5 * before - 5.0 * place
    return force, force
"""


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    (tmp_path / "cart.py").write_text(CART)
    (tmp_path / "nodes.py").write_text(NODES)
    return tmp_path


def experiment_of(folder: Path, loop: dict[str, Any], host: str = "here") -> Experiment:
    return build_experiment(
        {
            "name": "cart",
            "directory": str(folder),
            "engines": {"cart": {"type": "script", "file": "cart.py", "host": host}},
            "loop": {"step": "10ms", "duration": "200ms", "functions": ["nodes.py"], **loop},
        }
    )


def test_an_event_loop_gives_what_a_fixed_step_loop_gives(folder: Path) -> None:
    places = []
    for loop in ("event", "fixed-step"):
        summary = run_loop(experiment_of(folder, {"type": loop}), folder / loop)
        assert (summary["stop_reason"], summary["iterations"]) == ("duration", 20)
        places.append(read_recording(folder / loop / "recording")["cart.place"].values.tolist())
    assert places[0] == places[1]
    assert len(places[0]) == 21


def test_the_summary_of_an_event_loop_says_how_late_it_was(folder: Path) -> None:
    summary = run_loop(experiment_of(folder, {"type": "event"}, "process"), folder / "run")
    assert summary["pacing"]["deadlines"] == 21
    assert summary["pacing"]["engines"].keys() == {"cart"}
    with pytest.raises(UserError, match="cannot be repeated"):
        replay_run(folder / "run")


def test_a_broker_that_is_missing_leaves_nothing_behind(folder: Path) -> None:
    nodes = NODES + (
        "from troupe.loop import Publish\n"
        "@node\n"
        "def tell(place: From('cart.place')) -> Publish('mqtt:place'):\n    return place\n"
    )
    (folder / "nodes.py").write_text(nodes)
    port = {"type": "mqtt", "host": "127.0.0.1", "port": 1}
    with pytest.raises(UserError, match=r"loop\.ports\.mqtt: .* 127\.0\.0\.1:1: "):
        run_loop(experiment_of(folder, {"ports": {"mqtt": port}}), folder / "run")
    assert not (folder / "run").exists()


def test_wrong_loops_are_errors(folder: Path) -> None:
    with pytest.raises(UserError, match=r"loop\.type: unknown loop 'evnt'.*event, fixed-step"):
        experiment_of(folder, {"type": "evnt"})
    with pytest.raises(UserError, match=r"loop: unknown key 'stp'.*'step'"):
        experiment_of(folder, {"type": "event", "stp": "1ms"})


def test_a_hosted_engine_says_whether_it_is_done(folder: Path) -> None:
    parameters = {"wait_for": str(folder / "go")}
    settings = ScriptSettings(file=folder / "cart.py", parameters=parameters, host="process")
    engine = open_engine(settings, "cart", 1, 1)
    assert isinstance(engine, HostedEngine)
    try:
        engine.reset([0])
        engine.begin(1_000_000)
        assert not engine.poll()
        (folder / "go").touch()
        while not engine.poll():
            pass
        engine.finish()
    finally:
        engine.close()
