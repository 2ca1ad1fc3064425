"""Images of many instances: rays on native threads beside OpenGL, one instance after the other.

The scene is that of `iiwa-grasp`, a robot before a tray of things, seen from above. OpenGL draws on
what the machine has; without a GPU that is Mesa's software.
"""

from __future__ import annotations

import time
from collections.abc import Callable, Sequence

import numpy as np

from benchmarks.harness import Options, Spread, Table, in_turn, ratio, write_result
from troupe.core.settings import validated
from troupe.engines.mujoco import MujocoEngine
from troupe.engines.mujoco_settings import MujocoSettings

RENDERERS = ("rays", "gl")
SIZES = {64: 64, 256: 16}
"""Instances by width and height of their images."""
KINDS: dict[str, tuple[str, ...]] = {
    "depth, mask, normal": ("depth", "mask", "normal"),
    "rgb": ("rgb",),
}
Case = tuple[str, int, str]


def run(options: Options) -> None:
    """Render in turn and write the result."""
    rounds = options.choose(9, 1, options.rounds)
    sizes = options.choose(SIZES, {64: 4})
    engine = build(max(sizes.values()), list(sizes))
    contenders: dict[Case, Callable[[], float]] = {}
    for size, num_instances in sizes.items():
        for kind, modalities in KINDS.items():
            for renderer in RENDERERS:
                measure = measurement(engine, f"{renderer}{size}", modalities, num_instances)
                measure()  # the first image of all also makes what the next ones use
                contenders[renderer, size, kind] = measure
    try:
        rates = in_turn(contenders, rounds)
    finally:
        engine.close()
    rows = []
    for size, num_instances in sizes.items():
        for kind in KINDS:
            rays, drawn = rates["rays", size, kind], rates["gl", size, kind]
            shown = [str(Spread.of(rays)), str(Spread.of(drawn)), str(ratio(rays, drawn))]
            rows.append([f"{size}x{size}, {num_instances} instances", kind, *shown])
    header = ["", "", "rays, images/s", "OpenGL, images/s", "rays / OpenGL"]
    table = Table(f"Rendering a robot before a tray (rounds: {rounds})", header, rows)
    print(table)
    found = [
        {"renderer": r, "size": s, "kind": k, "images_per_s": v} for (r, s, k), v in rates.items()
    ]
    write_result("cameras", options, [table], rates=found)


def build(num_instances: int, sizes: Sequence[int]) -> MujocoEngine:
    """Return an engine with a camera for each renderer and size, whose things have fallen."""
    place = {"position": [0.6, 0.0, 1.2], "target": [0.6, 0.0, 0.0]}
    cameras = {
        f"{renderer}{size}": {**place, "width": size, "height": size, "renderer": renderer}
        for renderer in RENDERERS
        for size in sizes
    }
    scene = {"type": "tray", "objects": 6}
    settings = {"robot": "iiwa", "scene": scene, "timestep": "4ms", "cameras": cameras}
    engine = validated(MujocoSettings, settings, "engines.arm").build("arm", num_instances, 0)
    engine.reset([0] * num_instances)
    engine.advance(400_000_000)
    return engine


def measurement(
    engine: MujocoEngine, camera: str, modalities: Sequence[str], num_instances: int
) -> Callable[[], float]:
    """Return a function that renders once and returns the images (of all modalities) per second."""
    ids = np.arange(num_instances)

    def measure() -> float:
        began = time.perf_counter()
        engine.render(camera, modalities, ids)
        return num_instances / (time.perf_counter() - began)

    return measure
