"""Throughput of RLlib's PPO and APPO with slow simulators, all equal or one slower than the others.

cd benchmarks/peers/rllib && .venv/bin/python slow.py --algorithm APPO --runners 8 --step-ms 20
"""

import argparse
import json
import os
import shutil
import sys
import time
from pathlib import Path

sys.path.insert(0, str(Path(__file__).resolve().parents[3]))

import gymnasium
import ray
import torch
from ray.rllib.algorithms.algorithm_config import AlgorithmConfig
from ray.rllib.algorithms.appo import APPOConfig
from ray.rllib.algorithms.ppo import PPOConfig
from ray.tune.registry import register_env

from benchmarks.plain_reach import PlainScaraReach

ENV = "SlowScaraReach"
CONFIGS = {"PPO": PPOConfig, "APPO": APPOConfig}


class Slow(gymnasium.Wrapper):
    """Waits in each step, as a simulator with a clock of its own does."""

    def __init__(self, env: gymnasium.Env, step_s: float) -> None:
        super().__init__(env)
        self._step_s = step_s

    def step(self, action):
        time.sleep(self._step_s)
        return self.env.step(action)


def make_env(config):
    """Return the environment of a runner; runners count from 1."""
    factor = config["slow_factor"] if config.worker_index == 1 else 1.0
    env = gymnasium.wrappers.TimeLimit(PlainScaraReach(), 100)
    return Slow(env, config["step_s"] * factor)


def make_config(args: argparse.Namespace) -> AlgorithmConfig:
    config = CONFIGS[args.algorithm]()
    settings = (
        {"minibatch_size": args.batch // 8, "num_epochs": 10} if args.algorithm == "PPO" else {}
    )
    return (
        config.environment(
            ENV, env_config={"step_s": args.step_ms / 1000, "slow_factor": args.slow_factor}
        )
        .env_runners(
            num_env_runners=args.runners,
            rollout_fragment_length="auto" if args.algorithm == "PPO" else args.fragment,
            num_cpus_per_env_runner=0.1,
        )
        .training(train_batch_size_per_learner=args.batch, lr=3e-4, **settings)
        .debugging(seed=0, log_level="ERROR")
    )


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--algorithm", choices=CONFIGS, required=True)
    parser.add_argument("--runners", type=int, default=8)
    parser.add_argument("--step-ms", type=float, default=20.0)
    parser.add_argument("--slow-factor", type=float, default=1.0)
    parser.add_argument("--batch", type=int, default=480)
    parser.add_argument("--fragment", type=int, default=32)
    parser.add_argument("--seconds", type=float, default=30.0)
    args = parser.parse_args()
    torch.set_num_threads(1)
    os.environ["RAY_USAGE_STATS_ENABLED"] = "0"
    ray.init("local", num_cpus=args.runners + 2, include_dashboard=False, log_to_driver=False)
    register_env(ENV, make_env)
    algorithm = make_config(args).build_algo()

    steps, began = count(algorithm.train()), time.perf_counter()
    measured, elapsed = 0, 0.0
    while elapsed < args.seconds:
        total = count(algorithm.train())
        elapsed = time.perf_counter() - began
        measured = total - steps

    algorithm.stop()
    shutil.rmtree(algorithm.logdir, ignore_errors=True)
    ray.shutdown()
    print(json.dumps({"steps": measured, "steps_per_s": measured / elapsed, "wall_s": elapsed}))


def count(result: dict) -> int:
    """Return the steps that all runners have sampled so far."""
    return int(result["env_runners"].get("num_env_steps_sampled_lifetime", 0))


if __name__ == "__main__":
    main()
