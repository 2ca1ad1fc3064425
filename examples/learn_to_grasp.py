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

PATCH, SPACING_M = 20, 0.006
CAMERA_M, FLOOR_M = (0.6, 0.0, 1.3), 0.01
METRES_A_PIXEL = 2 * np.tan(np.radians(10)) / 64  # at a distance of 1 m
LOW = np.array([0.49, -0.15, 0.006, -np.pi / 2])  # x, y, height over the floor, yaw
HIGH = np.array([0.71, 0.15, 0.03, np.pi / 2])
SETTLED_NS = 13 * 48_000_000  # when the attempt is chosen
CANDIDATES = 256


def patches(depth: np.ndarray, grasp: np.ndarray) -> np.ndarray:
    """Return heights over the floor around grasps, along the hand's axes, in units of 5 cm.

    Args:
        depth: images of the camera over the tray, (N, 64, 64), m.
        grasp: x, y, height and yaw of G grasps in each, (N, G, 4).

    Returns:
        (N, G, PATCH, PATCH).
    """
    axis = (np.arange(PATCH) - (PATCH - 1) / 2) * SPACING_M
    along, across = np.meshgrid(axis, axis, indexing="ij")
    x, y, _, yaw = np.moveaxis(grasp[..., None, None], 2, 0)
    x_m = x + np.cos(yaw) * along - np.sin(yaw) * across
    y_m = y + np.sin(yaw) * along + np.cos(yaw) * across
    scale = METRES_A_PIXEL * (CAMERA_M[2] - FLOOR_M - 0.015)
    row = np.clip(31.5 - (x_m - CAMERA_M[0]) / scale, 0, 62.999)
    column = np.clip(31.5 - (y_m - CAMERA_M[1]) / scale, 0, 62.999)
    i, j = row.astype(int), column.astype(int)
    down, right = row - i, column - j
    n = np.arange(len(depth))[:, None, None, None]
    upper = depth[n, i, j] * (1 - right) + depth[n, i, j + 1] * right
    lower = depth[n, i + 1, j] * (1 - right) + depth[n, i + 1, j + 1] * right
    height_m = CAMERA_M[2] - FLOOR_M - (upper * (1 - down) + lower * down)
    return np.clip(height_m / 0.05, -0.2, 2.0).astype(np.float32)


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
    """Return the logarithmic odds that grasps succeed, (B,)."""
    x = patch[..., None]
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
    names = [f"about.{name}" for name in ("x_m", "y_m", "z_m", "yaw_rad", "success")]
    found = []
    for batch in troupe.open_store(url).iter_batches(["image.overhead.depth", *names], 512):
        # of each attempt the first image, in which it was chosen
        x, y, z, yaw, success = (batch[name][::2] for name in names)
        grasp = np.stack([x, y, z - FLOOR_M, yaw], axis=1)
        seen = patches(batch["image.overhead.depth"][::2], grasp[:, None])[:, 0]
        found.append((seen, grasp[:, 2].astype(np.float32), success.astype(np.float32)))
    patch, height_m, success = map(np.concatenate, zip(*found, strict=True))
    return patch, height_m, success


def choose(parameters, depth: np.ndarray, rng: np.random.Generator) -> np.ndarray:
    """Return the most promising of many random actions for each image, (N, 4)."""
    action = rng.uniform(-1, 1, (len(depth), CANDIDATES, 4))
    grasp = LOW + (action + 1) / 2 * (HIGH - LOW)
    patch = patches(depth, grasp).reshape(-1, PATCH, PATCH)
    odds = jax.jit(logits)(parameters, patch, grasp[..., 2].reshape(-1).astype(np.float32))
    best = np.asarray(odds).reshape(len(depth), CANDIDATES).argmax(axis=1)
    return action[np.arange(len(depth)), best]


def success_rate(parameters=None, attempts: int = 300, seed: int = 1) -> float:
    """Return how many attempts succeed on things that no training has shown.

    Args:
        parameters: of the network; without them attempts are random.
        attempts: how many, the same number in each tray.
        seed: of trays and candidates.
    """
    rng = np.random.default_rng(seed)
    overrides = ["task.image=overhead.depth", "task.objects=test"]
    overrides += ["engines.arm.cameras.overhead.modalities=[depth]", "collect.images=[]"]
    instances = 30
    each = np.zeros(instances, int)
    succeeded = 0.0
    with troupe.connect("iiwa-grasp", instances=instances, overrides=overrides, seed=seed) as fleet:
        while each.min() < attempts // instances:
            batch = fleet.recv(min_ready=instances)
            for row, success in zip(batch.ended, batch.metrics["success"], strict=True):
                instance = batch.ids[row]
                succeeded += success * (each[instance] < attempts // instances)
                each[instance] += 1
            action = rng.uniform(-1, 1, (len(batch), 4))
            now = batch.time_ns == SETTLED_NS
            if parameters is not None and now.any():
                action[now] = choose(parameters, batch.observation[now], rng)
            fleet.send(action, batch.ids)
    return succeeded / (instances * (attempts // instances))


if __name__ == "__main__":
    learned = train(*read(sys.argv[1]))
    print(f"random attempts lift {success_rate():.1%}, chosen ones {success_rate(learned):.1%}")
