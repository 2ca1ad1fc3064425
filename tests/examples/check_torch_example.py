"""The example that learns to grasp in PyTorch acts as a policy is to. `make check-torch` runs this.

That it learns is seen where its page is run.
"""

import importlib.util
from pathlib import Path

import numpy as np
import torch

from troupe.experiments.load import load_experiment

EXAMPLE = Path(__file__).parents[2] / "examples" / "learn_to_grasp_torch.py"


def test_it_acts_the_same_alone_and_among_others() -> None:
    spec = importlib.util.spec_from_file_location("learn_to_grasp_torch", EXAMPLE)
    assert spec is not None
    assert spec.loader is not None
    example = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(example)
    torch.manual_seed(0)
    experiment = load_experiment("iiwa-grasp", example.SEEN)
    grasper = example.Grasper(experiment, example.Network())
    rng = np.random.default_rng(0)
    depth = rng.uniform(1.2, 1.3, (3, 64, 64)).astype(np.float32)
    noise = rng.standard_normal((3, grasper.noise_size), np.float32)
    together = grasper.act(depth, noise).action
    assert together.shape == (3, 4)
    assert (np.abs(together) <= 1).all()
    for i in range(3):
        alone = grasper.act(depth[i : i + 1], noise[i : i + 1]).action
        np.testing.assert_array_equal(alone[0], together[i])
    # other noise tries other places
    assert not np.array_equal(grasper.act(depth, noise[::-1].copy()).action[1:], together[1:])
