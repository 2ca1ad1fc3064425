"""The command line of the benchmarks."""

from __future__ import annotations

import argparse
import importlib
import shlex
import signal
import sys
from pathlib import Path

from benchmarks.harness import BenchmarkError, Options, progress

BENCHMARKS = {
    "startup": "time to import, and from the command to the first step, beside the peers",
    "sampling": "Simulation.step and Sampler.sample beside bare Batch.step of the same model",
    "throughput": "training of scara-reach, steps/s, beside SB3 and RLlib",
    "accuracy": "wall time of the arms' experiments, and the error in mm that they end with",
    "workers": "0 to 8 Ray workers: same policy bit for bit, and how long it takes",
    "collecting.slow_simulators": "128 slow simulators beside 128 times one; a slow one among 8",
    "collecting.chaos": "an actor killed every 10 s and the learner every 60 s, for 10 minutes",
    "collecting.two_stage": "actors and learners against communication; faulty learners",
    "collecting.study": "update mode, correction, weighting, mode: samples and time to 5 mm",
    "cameras": "images of many instances by rays beside OpenGL",
    "control": "updates of controllers, inverse kinematics beside mink, planning",
    "experiment_api": "a fleet's environment beside Simulation.step; waiting beside not waiting",
    "grasping": "random grasp attempts an hour beside pybullet's Kuka; 128 at real-time pace",
    "store": "writing episodes beside raw Parquet, reading batches beside a raw scan",
    "loop": "overhead of a closed loop, the vehicle with its brain, 64 of them in lockstep",
    "learner": "HalfCheetah-v5, Reacher-v5, Pendulum-v1: return and wall time beside SB3",
}


def main() -> int:
    """Run the benchmarks that were named, one after the other."""
    parser = argparse.ArgumentParser(
        prog="python -m benchmarks", description="Measure Troupe beside its peers."
    )
    add = parser.add_argument
    add("names", metavar="NAME", nargs="*", help=f"of {', '.join(BENCHMARKS)}; default: all")
    add("--list", action="store_true", help="tell what each measures")
    add("--quick", action="store_true", help="tiny sizes: whether all works, not how fast")
    add("--out", type=Path, help="default: runs/benchmarks, or runs/benchmarks-quick")
    add("--rounds", type=int, help="how often each contender has its turn")
    add("--seeds", type=_numbers, help="accuracy, learner: 0,1,2")
    add("--only", type=_texts, help="accuracy, workers, learner: these parts, A,B")
    add("--force", action="store_true", help="accuracy, learner: measure anew what is there")
    args = parser.parse_args()
    unknown = [name for name in args.names if name not in BENCHMARKS]
    if unknown:
        parser.error(f"no benchmark {unknown[0]!r}; valid: {', '.join(BENCHMARKS)}")
    if args.list:
        print("\n".join(f"{name:<28}{about}" for name, about in BENCHMARKS.items()))
        return 0
    # what was started ends with this process
    signal.signal(signal.SIGTERM, lambda *_: sys.exit(128 + signal.SIGTERM))
    given = [argument for argument in sys.argv[1:] if argument not in args.names]
    failed = False
    for name in args.names or BENCHMARKS:
        options = Options(
            out=args.out or Path("runs") / ("benchmarks-quick" if args.quick else "benchmarks"),
            command=shlex.join(["python", "-m", "benchmarks", name, *given]),
            quick=args.quick,
            rounds=args.rounds,
            seeds=args.seeds,
            names=args.only,
            force=args.force,
        )
        progress(f"{name}: {BENCHMARKS[name]}")
        try:
            importlib.import_module(f"benchmarks.{name}").run(options)
            print(f"\nresult: {options.result(name)}\n")
        except BenchmarkError as error:
            print(f"error: {name}: {error}", file=sys.stderr)
            failed = True
        except KeyboardInterrupt:
            return 128 + signal.SIGINT
    return int(failed)


def _numbers(text: str) -> tuple[int, ...]:
    return tuple(int(part) for part in text.split(","))


def _texts(text: str) -> tuple[str, ...]:
    return tuple(text.split(","))


if __name__ == "__main__":
    sys.exit(main())
