"""The example that learns to grasp, with fewer attempts than its page."""

import importlib.util
from pathlib import Path
from types import ModuleType

import pytest

from troupe.episodes.store import open_store
from troupe.experiments.load import load_experiment
from troupe.fleet.collecting.crew import collect

EXAMPLE = Path(__file__).parents[2] / "examples" / "learn_to_grasp.py"


@pytest.fixture(scope="module")
def example() -> ModuleType:
    """The example's functions."""
    spec = importlib.util.spec_from_file_location("learn_to_grasp", EXAMPLE)
    assert spec is not None
    assert spec.loader is not None
    module = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(module)
    return module


@pytest.mark.slow
@pytest.mark.timeout(900)
def test_chosen_attempts_succeed_more_than_twice_as_often_as_random_ones(
    example: ModuleType, tmp_path: Path
) -> None:
    place = str(tmp_path / "grasps")
    collect(load_experiment("iiwa-grasp"), place, 1500, spool=tmp_path / "spool")
    assert open_store(place).num_episodes == 1500
    learned = example.train(*example.read(place))
    random, chosen = example.success_rate(None, 90), example.success_rate(learned, 90)
    assert chosen > 2 * random
    assert chosen > 0.15
