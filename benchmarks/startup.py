"""How long one waits: for an import, and from the command to the first step of training."""

from __future__ import annotations

import subprocess
import sys
import time
from collections.abc import Callable
from functools import partial
from pathlib import Path

from benchmarks.harness import (
    ROOT,
    Options,
    Peer,
    Spread,
    Table,
    in_turn,
    ratio,
    train,
    train_peer,
    write_result,
)

IMPORTS = {"python": "pass", "numpy": "import numpy", "troupe": "import troupe"}
IMPORT_MUST_S = 0.3
EXPERIMENT, ENVIRONMENT = "scara-reach", "troupe/ScaraReach-v0"


def run(options: Options) -> None:
    """Measure imports, then starts of training, and write the result."""
    imports = {name: partial(import_s, code) for name, code in IMPORTS.items()}
    import_seconds = in_turn(imports, options.choose(21, 3, options.rounds))
    starts: dict[str, Callable[[], float]] = {
        "troupe": partial(start_s, options.out / "startup"),
        "sb3": partial(peer_start_s, "sb3"),
        "rllib": partial(peer_start_s, "rllib"),
    }
    start_seconds = in_turn(starts, options.choose(5, 1, options.rounds))
    tables = [
        Table(
            "Whole process that does nothing but an import",
            ["import", "s", "/ numpy", "must"],
            [
                [
                    name,
                    str(Spread.of(seconds)),
                    str(ratio(seconds, import_seconds["numpy"])),
                    f"< {IMPORT_MUST_S} s" if name == "troupe" else "",
                ]
                for name, seconds in import_seconds.items()
            ],
        ),
        Table(
            f"From the command to the first step of training {EXPERIMENT}",
            ["", "s", "it / Troupe"],
            [
                [name, str(Spread.of(seconds)), str(ratio(seconds, start_seconds["troupe"]))]
                for name, seconds in start_seconds.items()
            ],
        ),
    ]
    print(*tables, sep="\n")
    measured = {"import_s": import_seconds, "start_s": start_seconds}
    write_result("startup", options, tables, **measured)


def import_s(code: str) -> float:
    """Return how long a process takes that runs some code."""
    began = time.perf_counter()
    subprocess.run([sys.executable, "-c", code], check=True, cwd=ROOT)
    return time.perf_counter() - began


def start_s(run: Path) -> float:
    """Return the seconds until Troupe has built and compiled all, and makes its run directory."""
    began = time.time()
    train([EXPERIMENT], run, {"steps": 4096, "evaluation.episodes": 1}).run()
    return (run / "config.yaml").stat().st_mtime - began


def peer_start_s(peer: Peer) -> float:
    """Return the seconds until a peer's learner is built, as its script tells."""
    options = {"import": "troupe.envs", "settings": "Reacher-v5", "steps": 2048, "num-envs": 8}
    found = train_peer(peer, ENVIRONMENT, {**options, "batch": 2048, "epochs": 1}).run()
    return float(found["startup_s"])
