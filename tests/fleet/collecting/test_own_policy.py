"""Policies from a user's file: they collect, and what is wrong with them shows before."""

from pathlib import Path

import pytest

from troupe.core.errors import UserError
from troupe.episodes.store import open_store
from troupe.fleet.collecting.crew import collect

GOOD = """
import numpy as np
from troupe.policies import PolicyStep

class Mine:
    version, noise_size = 7, 2

    def __init__(self, experiment):
        self.size = len(experiment.name)

    def act(self, observation, noise=None, first_instance=0):
        action = np.zeros((len(observation), 3), np.float32)
        action[:, :2] = np.tanh(noise)
        return PolicyStep(action, np.full(len(action), -1.5, np.float32))

def make(experiment):
    return Mine(experiment)
"""


@pytest.mark.parametrize("name", ["Mine", "make"])
def test_a_policy_of_one_s_own_collects(small, tmp_path: Path, monkeypatch, name: str) -> None:
    (tmp_path / "mine.py").write_text(GOOD)
    monkeypatch.chdir(tmp_path)
    collect(small(), "store", 4, policy=f"mine.py:{name}", spool=tmp_path / "spool")
    store = open_store("store")
    assert set(store.episodes()["policy_version"].to_pylist()) == {7}
    steps = store.episode(store.episode_ids()[0]).steps
    assert (steps["log_prob"] == -1.5).all()
    assert (steps["action"][:, :2].std(axis=0) > 0.1).all()
    assert (steps["action"][:, 2] == 0).all()


@pytest.mark.parametrize(
    ("place", "old", "new", "message"),
    [
        ("other.py:Mine", "", "", "there is no file 'other.py'"),
        ("mine.py", "", "", "say what makes the policy, 'mine.py:NAME'"),
        ("mine.py:Mien", "", "", r"unknown name 'Mien'. Did you mean 'Mine'"),
        ("mine.py:Mine", "import numpy", "import nunpy", "No module named 'nunpy'"),
        ("mine.py:Mine", "len(experiment.name)", "1 / 0", "(?s)raised:.*1 / 0.*ZeroDivisionError"),
        ("mine.py:make", "return Mine(experiment)", "pass", "'version' of at least 0, not None"),
        ("mine.py:Mine", "= 7, 2", "= 7, 2.5", "'noise_size' of at least 0, not 2.5"),
        ("mine.py:Mine", "def act", "def move", "has a method 'act'; Mine has none"),
        ("mine.py:Mine", "np.tanh(noise)", "noise @ noise", r"act raised for .*\(1, \d+\)"),
        ("mine.py:Mine", "PolicyStep(action, ", "(action, ", "PolicyStep, not tuple"),
        ("mine.py:Mine", ", 3), np", ", 4), np", r"'action' is .* shape \(1, 3\), not \(1, 4\)"),
        ("mine.py:Mine", "np.full(len(action), -1.5", "np.full((1, 1), 0.0", "'log_prob' is"),
        ("mine.py:Mine", "np.tanh(noise)", "np.nan", "zeros is .*nan"),
    ],
)
def test_what_is_wrong_with_it_is_named_before_a_store_is_made(
    small, tmp_path: Path, monkeypatch, place: str, old: str, new: str, message: str
) -> None:
    (tmp_path / "mine.py").write_text(GOOD.replace(old, new))
    monkeypatch.chdir(tmp_path)
    with pytest.raises(UserError, match=message):
        collect(small(), "store", 4, policy=place)
    assert not (tmp_path / "store").exists()
