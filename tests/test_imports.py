import subprocess
import sys

import pytest

HEAVY = ("jax", "matplotlib", "mujoco", "optax", "pyarrow", "ray", "scipy", "torch")


@pytest.mark.parametrize(
    ("modules", "absent"),
    [
        ("troupe", (*HEAVY, "fsspec", "gymnasium", "pydantic", "typer", "yaml")),
        ("troupe.core", HEAVY),
        ("troupe.cli", HEAVY),
        ("troupe.experiments.load, troupe.experiments.schema", HEAVY),
        ("troupe.engines.mujoco_settings, troupe.engines.gymnasium_settings", HEAVY),
        ("troupe.learning.ppo_settings", ("jax", "mujoco", "optax", "ray")),
        # an actor's process stays small, so that hundreds fit a machine
        ("troupe.fleet.actor, troupe.fleet.sampler", ("jax", "matplotlib", "optax", "torch")),
        # Ray is loaded by those who ask for workers
        ("troupe.fleet.launch, troupe.fleet.sweep", ("jax", "matplotlib", "optax", "ray")),
        ("troupe.policies.mlp, troupe.policies.storage", ("jax", "mujoco", "optax", "ray")),
    ],
)
def test_an_import_loads_only_what_it_needs(modules: str, absent: tuple[str, ...]) -> None:
    code = f"import sys, {modules}; print(*({set(absent)!r} & sys.modules.keys()))"
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert done.stdout.split() == []
