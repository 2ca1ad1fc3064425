"""Train PPO of RLlib (new API stack), with settings tuned for it.

cd benchmarks/peers/rllib && .venv/bin/python train.py --env Reacher-v5 --steps 500000 --runners 2
"""

import os
import shutil
import sys
from collections import deque
from collections.abc import Callable
from pathlib import Path
from statistics import fmean

sys.path.insert(0, str(Path(__file__).resolve().parents[1]))

import gymnasium
import numpy as np
import ray
import torch
from ray.rllib.algorithms.algorithm import Algorithm
from ray.rllib.algorithms.ppo import PPOConfig
from ray.rllib.connectors.env_to_module import MeanStdFilter
from ray.rllib.core import COMPONENT_ENV_TO_MODULE_CONNECTOR
from ray.rllib.core.columns import Columns
from ray.rllib.core.rl_module.default_model_config import DefaultModelConfig
from ray.rllib.utils.filter import RunningStat
from ray.rllib.utils.numpy import SMALL_NUMBER
from ray.rllib.utils.spaces.space_utils import unsquash_action
from trial import (
    EVALUATION_EPISODES,
    EVALUATION_SEED_OFFSET,
    RECENT_EPISODES,
    Progress,
    Trial,
    parse_trial,
    report,
)

VECTORIZE_MODES = {"dummy": "sync", "subproc": "async"}


def make_learner(trial: Trial) -> Algorithm:
    settings = trial.settings
    model = DefaultModelConfig(
        fcnet_hiddens=settings.net, fcnet_activation=settings.activation, **settings.policy
    )
    return (
        PPOConfig()
        .environment(trial.env_id)
        .env_runners(
            num_env_runners=trial.runners,
            num_envs_per_env_runner=settings.num_envs,
            gym_env_vectorize_mode=VECTORIZE_MODES[trial.vec],
            env_to_module_connector=make_filter if settings.normalize else None,
        )
        .training(
            train_batch_size_per_learner=settings.batch,
            minibatch_size=settings.minibatch,
            num_epochs=settings.epochs,
            **settings.ppo,
        )
        .rl_module(model_config=model)
        .debugging(seed=trial.seed, log_level="ERROR")
        .build_algo()
    )


def make_filter(env: object, spaces: object, device: object) -> MeanStdFilter:
    return MeanStdFilter()


def learn(learner: Algorithm, steps: int, progress: Progress) -> None:
    returns = deque[float](maxlen=RECENT_EPISODES)
    while progress.steps < steps:
        sampled = learner.train()["env_runners"]
        # RLlib's mean covers only the episodes that ended in this iteration.
        if sampled["num_episodes"]:
            returns.extend([float(sampled["episode_return_mean"])] * int(sampled["num_episodes"]))
        progress.update(
            int(sampled["num_env_steps_sampled_lifetime"]), fmean(returns) if returns else None
        )


def evaluate(learner: Algorithm, trial: Trial) -> list[float]:
    """Raw returns of the deterministic policy, with the filter frozen.

    By hand, because RLlib passes the filter to evaluation in remote runners only.
    """
    env = gymnasium.make(trial.env_id)
    normalize = frozen_filter(learner) if trial.settings.normalize else np.asarray
    returns = []
    for episode in range(EVALUATION_EPISODES):
        observation, _ = env.reset(seed=trial.seed + EVALUATION_SEED_OFFSET + episode)
        episode_return, ended = 0.0, False
        while not ended:
            action = best_action(learner, normalize(observation))
            observation, reward, terminated, truncated, _ = env.step(
                unsquash_action(action, env.action_space)
            )
            episode_return += float(reward)
            ended = terminated or truncated
        returns.append(episode_return)
    env.close()
    return returns


def frozen_filter(learner: Algorithm) -> Callable[[np.ndarray], np.ndarray]:
    connectors = learner.env_runner.get_state()[COMPONENT_ENV_TO_MODULE_CONNECTOR]
    state = connectors["MeanStdFilter"][None]
    statistics = RunningStat.from_state(state["running_stats"][0])
    mean, scale, clip = statistics.mean, statistics.std + SMALL_NUMBER, state["clip_by_value"]
    return lambda observation: np.clip((observation - mean) / scale, -clip, clip)


def best_action(learner: Algorithm, observation: np.ndarray) -> np.ndarray:
    policy = learner.get_module()
    with torch.no_grad():
        batch = {Columns.OBS: torch.as_tensor(observation[None], dtype=torch.float32)}
        logits = policy.forward_inference(batch)[Columns.ACTION_DIST_INPUTS]
    distribution = policy.get_inference_action_dist_cls().from_logits(logits)
    return distribution.to_deterministic().sample()[0].numpy()


def main() -> None:
    trial = parse_trial(Path(__file__), max_runners=2)
    torch.set_num_threads(trial.threads)
    os.environ["RAY_USAGE_STATS_ENABLED"] = "0"
    ray.init(num_cpus=trial.runners + 1, include_dashboard=False, log_to_driver=False)
    learner = make_learner(trial)

    progress = Progress(trial.steps)
    learn(learner, trial.steps, progress)

    returns = evaluate(learner, trial)
    learner.stop()
    shutil.rmtree(learner.logdir)  # in the home directory
    ray.shutdown()
    report(f"rllib {ray.__version__}", trial, progress, returns)


if __name__ == "__main__":
    main()
