from pathlib import Path

import pytest

from troupe.experiments.load import load_experiment
from troupe.fleet.launch import run_training


@pytest.mark.slow
def test_an_arm_learns_to_lift_a_box_within_200000_steps(tmp_path: Path) -> None:
    until = ["stop={metric: success, value: 0.5}", "evaluation.episodes=40"]
    summary = run_training(load_experiment("iiwa-lift", until), tmp_path / "run")
    assert summary["stop_reason"] == "stop.metric"
    assert summary["steps"] <= 200_000
    assert summary["evaluation"]["success_rate"] > 0.4
