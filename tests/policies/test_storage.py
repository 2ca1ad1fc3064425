from pathlib import Path

import numpy as np
import pytest
from safetensors.numpy import save_file

from tests.policies.test_mlp import make_policy, observations
from troupe.core import UserError
from troupe.policies.mlp import Distribution
from troupe.policies.storage import load_policy, save_policy


@pytest.mark.parametrize("distribution", ["normal", "squashed-normal"])
def test_a_policy_comes_back_with_its_normalisation(tmp_path: Path, distribution: Distribution):
    policy, x = make_policy("elu", distribution), observations(9)
    save_policy(policy, tmp_path / "policy.safetensors")
    loaded = load_policy(tmp_path / "policy.safetensors")
    np.testing.assert_array_equal(loaded.act(x).action, policy.act(x).action)
    assert (loaded.version, loaded.activation) == (policy.version, "elu")


def test_the_same_policy_makes_the_same_file(tmp_path: Path):
    for name in ("a", "b"):
        save_policy(make_policy(), tmp_path / name)
    assert (tmp_path / "a").read_bytes() == (tmp_path / "b").read_bytes()


def test_a_file_cut_short_is_named(tmp_path: Path):
    path = tmp_path / "policy.safetensors"
    save_policy(make_policy(), path)
    path.write_bytes(path.read_bytes()[:-10])
    with pytest.raises(UserError, match=r"policy\.safetensors' is cut short or damaged"):
        load_policy(path)


def test_a_file_of_another_kind_is_refused(tmp_path: Path):
    path = tmp_path / "other.safetensors"
    save_file({"x": np.zeros(3)}, path)
    with pytest.raises(UserError, match="not of the format troupe-policy"):
        load_policy(path)


def test_a_missing_file_is_named(tmp_path: Path):
    with pytest.raises(UserError, match="does not exist"):
        load_policy(tmp_path / "none.safetensors")
