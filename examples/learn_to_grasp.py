"""Learn from random attempts where a grasp succeeds, then grasp by it: 100 lines, in JAX.

    troupe collect iiwa-grasp --episodes 5000 --store grasps
    python examples/learn_to_grasp.py grasps

The network sees what the hand would see: heights over the tray's floor around the place where it
would close, turned with it. It is trained on stored attempts, and then chooses the best of many
random places in the trays of a fleet, which are full of things that it has never seen.
"""

import sys

import jax
import jax.numpy as jnp
import numpy as np
import optax

import troupe
from troupe.experiments.load import load_experiment
from troupe.fleet.collecting.grasp_view import GraspView

COLUMNS = ["image.overhead.depth", "step.action", "about.success"]
SEEN = ["task.image=overhead.depth", "task.objects=test", "collect.images=[]"]
SEEN += ["engines.arm.cameras.overhead.modalities=[depth]"]
VIEW = GraspView.of(load_experiment("iiwa-grasp", SEEN))
CANDIDATES = 256


def network(seed: int) -> dict[str, jax.Array]:
    """Return the parameters of two convolutions and two dense layers."""
    shapes = {"c1": (5, 5, 1, 16), "c2": (3, 3, 16, 32), "d1": (801, 64), "d2": (64, 1)}
    keys = jax.random.split(jax.random.key(seed), len(shapes))
    weights = {
        name: jax.random.normal(key, shape) * np.sqrt(2 / np.prod(shape[:-1]))
        for key, (name, shape) in zip(keys, shapes.items(), strict=True)
    }
    biases = {f"{name}_bias": jnp.zeros(shape[-1]) for name, shape in shapes.items()}
    return weights | biases


def logits(p: dict[str, jax.Array], patch: jax.Array, height_m: jax.Array) -> jax.Array:
    """Return the logarithmic odds that grasps succeed, (B,), of heights around them, m."""
    x = jnp.clip(patch[..., None] / 0.05, -0.2, 2.0)
    for name in ("c1", "c2"):
        x = jax.lax.conv_general_dilated(
            x, p[name], (2, 2), "SAME", dimension_numbers=("NHWC", "HWIO", "NHWC")
        )
        x = jax.nn.relu(x + p[f"{name}_bias"])
    x = jnp.concatenate([x.reshape(len(x), -1), 50 * height_m[:, None]], axis=1)
    x = jax.nn.relu(x @ p["d1"] + p["d1_bias"])
    return (x @ p["d2"] + p["d2_bias"])[:, 0]


def train(patch: np.ndarray, height_m: np.ndarray, success: np.ndarray, epochs: int = 30):
    """Return parameters that tell which grasps succeed."""
    size, rng = 256, np.random.default_rng(0)
    rounds = len(success) // size
    optimizer = optax.adamw(optax.cosine_decay_schedule(1e-3, epochs * rounds), weight_decay=1e-3)
    parameters = network(0)
    state = optimizer.init(parameters)

    @jax.jit
    def update(parameters, state, patch, height_m, success):
        def loss(p):
            predicted = logits(p, patch, height_m)
            return optax.sigmoid_binary_cross_entropy(predicted, success).mean()

        value, gradient = jax.value_and_grad(loss)(parameters)
        change, state = optimizer.update(gradient, state, parameters)
        return optax.apply_updates(parameters, change), state, value

    for _ in range(epochs):
        for chosen in rng.permutation(len(success))[: rounds * size].reshape(rounds, size):
            # the hand is the same from both sides, and in a mirror
            turn = tuple(slice(None, None, rng.choice([-1, 1])) for _ in range(2))
            seen = patch[chosen][(slice(None), *turn)]
            parameters, state, value = update(
                parameters, state, seen, height_m[chosen], success[chosen]
            )
    print(f"trained on {len(success)} attempts, {success.mean():.1%} successful: loss {value:.3f}")
    return parameters


def read(url: str) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
    """Return what the hand saw in stored attempts, its height, and whether it lifted anything."""
    found = []
    for batch in troupe.open_store(url).iter_batches(COLUMNS, 512):
        # an item is the image in which an attempt was chosen, with what was chosen
        depth, action, success = (batch[name] for name in COLUMNS)
        grasp = VIEW.grasps(action)
        seen = VIEW.patches(depth, grasp[:, None])[:, 0]
        found.append((seen, grasp[:, 2].astype(np.float32), success.astype(np.float32)))
    patch, height_m, success = map(np.concatenate, zip(*found, strict=True))
    return patch, height_m, success


def choose(parameters, depth: np.ndarray, rng: np.random.Generator) -> np.ndarray:
    """Return the most promising of many random actions for each image, (N, 4)."""
    action = rng.uniform(-1, 1, (len(depth), CANDIDATES, 4))
    grasp = VIEW.grasps(action)
    patch = VIEW.patches(depth, grasp)
    height_m = grasp[..., 2].reshape(-1).astype(np.float32)
    odds = jax.jit(logits)(parameters, patch.reshape(-1, *patch.shape[2:]), height_m)
    best = np.asarray(odds).reshape(len(depth), CANDIDATES).argmax(axis=1)
    return action[np.arange(len(depth)), best]


def success_rate(parameters=None, attempts: int = 300, seed: int = 1) -> float:
    """Return how many attempts succeed on things that no training has shown.

    Args:
        parameters: of the network; without them attempts are random.
        attempts: how many, the same number in each of 30 trays.
        seed: of trays and candidates.
    """
    rng = np.random.default_rng(seed)

    def act(batch) -> np.ndarray:
        action = rng.uniform(-1, 1, (len(batch), 4))
        now = batch.time_ns == VIEW.decides_ns
        if parameters is not None and now.any():
            action[now] = choose(parameters, batch.observation[now], rng)
        return action

    with troupe.connect("iiwa-grasp", instances=30, overrides=SEEN, seed=seed) as fleet:
        return fleet.evaluate(act, attempts // 30)["success"].mean()


if __name__ == "__main__":
    learned = train(*read(sys.argv[1]))
    print(f"random attempts lift {success_rate():.1%}, chosen ones {success_rate(learned):.1%}")
