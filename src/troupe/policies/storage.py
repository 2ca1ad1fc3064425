"""Policies as files: safetensors, weights and normalisation together."""

from __future__ import annotations

import json
from pathlib import Path
from typing import get_args

from safetensors import SafetensorError, safe_open
from safetensors.numpy import save

from troupe.core.errors import UserError
from troupe.core.files import write_atomic
from troupe.policies.mlp import Activation, MlpPolicy

FORMAT = "troupe-policy-1"
METADATA = "troupe"
"""The one key of the file's metadata: the order of several would differ from file to file."""


def save_policy(policy: MlpPolicy, path: Path) -> None:
    """Write a policy to a file, which appears whole or not at all."""
    tensors = {
        **policy.parameters,
        "observation.mean": policy.mean,
        "observation.scale": policy.scale,
    }
    about = {
        "format": FORMAT,
        "activation": policy.activation,
        "distribution": policy.distribution,
        "version": policy.version,
    }
    write_atomic(path, save(tensors, {METADATA: json.dumps(about)}))


def load_policy(path: Path) -> MlpPolicy:
    """Return the policy of a file.

    Raises:
        UserError: if there is none, or it is cut short or of another kind.
    """
    if not path.is_file():
        raise UserError(f"policy file '{path}' does not exist.")
    try:
        with safe_open(path, framework="numpy") as file:
            about = json.loads((file.metadata() or {}).get(METADATA, "{}"))
            tensors = {name: file.get_tensor(name) for name in file.keys()}  # noqa: SIM118 - no dict
    except (SafetensorError, ValueError) as error:
        raise UserError(f"policy file '{path}' is cut short or damaged: {error}") from error
    if about.get("format") != FORMAT or about.get("activation") not in get_args(Activation):
        raise UserError(f"policy file '{path}' is not of the format {FORMAT}.")
    mean, scale = tensors.pop("observation.mean"), tensors.pop("observation.scale")
    return MlpPolicy(
        tensors, mean, scale, about["activation"], about["distribution"], about["version"]
    )
