from collections.abc import Callable
from pathlib import Path

import pytest

from troupe.episodes.recording import PackRecording, read_recording
from troupe.experiments.load import load_experiment
from troupe.fleet.closed_loop import run_loop

Recording = dict[str, PackRecording]
RunExperiment = Callable[..., Recording]


@pytest.fixture
def run_experiment(tmp_path: Path) -> RunExperiment:
    """Return what runs an experiment of the catalog with overrides and reads its recording."""
    count = 0

    def run(name: str, *overrides: str) -> Recording:
        nonlocal count
        count += 1
        out = tmp_path / f"run{count}"
        run_loop(load_experiment(name, overrides), out)
        return read_recording(out / "recording")

    return run
