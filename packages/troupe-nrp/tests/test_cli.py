import json
import subprocess
import sys

import pytest


def troupe(*arguments: str) -> subprocess.CompletedProcess[str]:
    command = [sys.executable, "-m", "troupe", *arguments]
    return subprocess.run(command, capture_output=True, text=True, check=False)


def test_troupe_run_runs_a_configuration(write_experiment, engine) -> None:
    path = write_experiment({"SimulationTimeout": 5, "EngineConfigs": [engine("a")]})
    done = troupe("run", str(path), "-o", "SimulationTimeout=0.3", "--json")
    assert done.returncode == 0, done.stderr
    summary = json.loads(done.stdout)
    assert summary["time_s"] == 0.3
    assert summary["stop_reason"] == "timeout"
    assert summary["wall_s"] > 0


@pytest.mark.parametrize(
    ("keys", "body", "code"),
    [
        ({"EngineTimestp": 1}, "pass", 2),
        ({}, "raise ValueError('broken')", 1),
        ({}, "import sys; sys.exit(0)", 1),
        ({"EngineLaunchCommand": {"LaunchType": "BasicFork"}}, "import os; os._exit(0)", 1),
    ],
)
def test_failures_end_with_their_exit_code(write_experiment, engine, keys, body, code) -> None:
    script = f"""
        from nrp_core.engines.python_json import EngineScript

        class Script(EngineScript):
            def runLoop(self, timestep_ns):
                {body}
    """
    entry = engine("weak", "weak", **keys)
    path = write_experiment({"SimulationTimeout": 1, "EngineConfigs": [entry]}, weak=script)
    done = troupe("run", str(path))
    assert done.returncode == code
    assert "weak" in done.stderr
