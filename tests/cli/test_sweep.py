import json
import subprocess
import sys

import pytest
import yaml

SWEEP = """
base: scara-reach
steps: 512
seed: {grid_search: [0, 1]}
task: {episode: 400ms}
learner: {batch: 256, minibatch: 64}
fleet: {instances: 16}
evaluation: {episodes: 5}
"""


def troupe(*words, cwd):
    command = [sys.executable, "-m", "troupe", *words]
    return subprocess.run(command, cwd=cwd, capture_output=True, text=True, check=False)


@pytest.mark.slow
@pytest.mark.xdist_group("ray")
def test_a_sweep_ends_in_one_report(tmp_path):
    (tmp_path / "sweep.yaml").write_text(SWEEP)
    done = troupe("train", "sweep.yaml", "--workers", "1", "--out", "all", "--json", cwd=tmp_path)
    assert done.returncode == 0, done.stderr
    result = json.loads(done.stdout)
    assert [run["seed"] for run in result["runs"]] == [0, 1]
    assert [run["workers"] for run in result["runs"]] == [1, 1]
    assert (tmp_path / result["report"]).is_file()
    assert done.stderr.splitlines() == [
        line for line in done.stderr.splitlines() if line.startswith("seed=")
    ]
    again = troupe("train", "sweep.yaml", "--out", "all", cwd=tmp_path)
    assert again.returncode == 2
    assert "output 'all' exists" in again.stderr


def test_a_dry_run_of_a_sweep_names_its_runs(tmp_path):
    (tmp_path / "sweep.yaml").write_text(SWEEP)
    done = troupe("train", "sweep.yaml", "--dry-run", "--json", cwd=tmp_path)
    assert list(json.loads(done.stdout)["runs"]) == ["seed=0", "seed=1"]
    done = troupe("train", "sweep.yaml", "--dry-run", "--set", "seed=3", cwd=tmp_path)
    assert yaml.safe_load(done.stdout)["seed"] == 3
    assert [path.name for path in tmp_path.iterdir()] == ["sweep.yaml"]
