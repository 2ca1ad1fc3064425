"""What the training scripts of the peers share: command line, settings, progress and result.

In: the command line and a settings file. Out: a `Trial` for the script, JSON for its reader.
To add a peer, copy the folder of one: requirements, settings and `train.py`.
"""

import argparse
import json
import os
import statistics
import time
from dataclasses import asdict, dataclass, field, replace
from pathlib import Path
from typing import Any

EVALUATION_EPISODES = 20
EVALUATION_SEED_OFFSET = 1_000_000
RECENT_EPISODES = 100
CURVE_POINTS = 100
OVERRIDES = ("net", "batch", "minibatch", "epochs", "num_envs")


@dataclass(frozen=True)
class Settings:
    """PPO settings. `ppo` and `policy` hold arguments of the peer, under the peer's own names."""

    origin: str
    num_envs: int  # of one process that samples
    batch: int  # steps per update, over all environments
    minibatch: int
    epochs: int
    net: list[int]
    activation: str
    normalize: bool
    ppo: dict[str, Any]
    policy: dict[str, Any]


@dataclass(frozen=True)
class Trial:
    """One training run, as asked for on the command line."""

    env: str
    module: str | None  # that registers the environment
    steps: int
    seed: int
    settings: Settings
    vec: str
    runners: int
    threads: int
    as_json: bool

    @property
    def env_id(self) -> str:
        """What `gymnasium.make` takes: it imports the module, in whichever process calls it."""
        return f"{self.module}:{self.env}" if self.module else self.env


@dataclass
class Progress:
    """Start-up and learning time, and a learning curve of about `CURVE_POINTS` points."""

    total_steps: int
    startup_s: float = field(init=False)
    wall_s: float = 0.0
    cpu_s: float = 0.0  # of this process alone
    steps: int = 0
    train_return: float | None = None
    curve: list[dict[str, float | None]] = field(default_factory=list)

    def __post_init__(self) -> None:
        self._wall_since_s, self._cpu_since_s = time.perf_counter(), time.process_time()
        self.startup_s = _process_age_s()

    def update(self, steps: int, train_return: float | None) -> None:
        """Note the steps so far and the mean raw return of the last `RECENT_EPISODES` in training.

        None says that no episode has ended yet.
        """
        self.wall_s = time.perf_counter() - self._wall_since_s
        self.cpu_s = time.process_time() - self._cpu_since_s
        self.steps, self.train_return = steps, train_return
        if steps >= len(self.curve) * self.total_steps / CURVE_POINTS:
            point = {"steps": steps, "wall_s": round(self.wall_s, 3), "train_return": train_return}
            self.curve.append(point)


def parse_trial(script: Path, max_runners: int = 0) -> Trial:
    """Read the command line of `script`; named settings lie in the folder `settings` beside it."""
    folder = script.parent / "settings"
    names = sorted(path.stem for path in folder.glob("*.json"))
    parser = argparse.ArgumentParser(
        description=f"Train PPO of {script.parent.name} and print what it cost and reached."
    )
    add = parser.add_argument
    add("--env", required=True, help="Gymnasium ID")
    add("--import", dest="module", metavar="MODULE", help="module that registers the environment")
    add("--steps", required=True, type=int, help="environment steps, rounded up to whole updates")
    add("--seed", default=0, type=int)
    add("--settings", help=f"a .json file or one of {', '.join(names)}; default: as --env")
    add("--net", type=_parse_widths, help="hidden layers of policy and of value function: 64,64")
    add("--batch", type=int, help="steps per update, over all environments")
    add("--minibatch", type=int)
    add("--epochs", type=int)
    add("--num-envs", type=int, help="environments of one process that samples")
    add("--vec", choices=["dummy", "subproc"], default="dummy", help="subproc: each in a process")
    if max_runners:
        runners = range(max_runners + 1)
        add("--runners", type=int, choices=runners, default=0, help="sampling processes; 0: this")
    add("--threads", default=1, type=int, help="of PyTorch")
    add("--json", dest="as_json", action="store_true", help="print one JSON object, nothing else")
    args = vars(parser.parse_args())

    name = args.pop("settings") or args["env"]
    path = Path(name) if name.endswith(".json") else folder / f"{name}.json"
    if not path.is_file():
        parser.error(f"no settings {name!r}: give a .json file or one of {', '.join(names)}")
    overrides = {key: value for key in OVERRIDES if (value := args.pop(key)) is not None}
    settings = replace(Settings(**json.loads(path.read_text())), **overrides)
    if settings.batch % settings.num_envs:
        parser.error(f"batch {settings.batch} is no multiple of num_envs {settings.num_envs}")
    args.setdefault("runners", 0)
    return Trial(settings=settings, **args)


def report(peer: str, trial: Trial, progress: Progress, evaluation_returns: list[float]) -> None:
    """Print the result: as one JSON object, or one line a figure."""
    result = {
        "peer": peer,
        **asdict(trial),
        "startup_s": round(progress.startup_s, 3),
        "wall_s": round(progress.wall_s, 3),
        "cpu_s": round(progress.cpu_s, 3),
        "steps": progress.steps,
        "steps_per_s": round(progress.steps / progress.wall_s, 1),
        "train_return": progress.train_return,
        "evaluation_return": statistics.fmean(evaluation_returns),
        "evaluation_return_std": statistics.stdev(evaluation_returns),
        "curve": progress.curve,
    }
    del result["as_json"]
    if trial.as_json:
        print(json.dumps(result))
    else:
        print(*(f"{key}: {value}" for key, value in result.items() if key != "curve"), sep="\n")


def _parse_widths(text: str) -> list[int]:
    return [int(width) for width in text.split(",")]


def _process_age_s() -> float:
    """Seconds since this process started, its imports included (from Linux's /proc)."""
    start_ticks = int(Path("/proc/self/stat").read_text().rpartition(")")[2].split()[19])
    return time.clock_gettime(time.CLOCK_BOOTTIME) - start_ticks / os.sysconf("SC_CLK_TCK")
