"""Train PPO of Stable-Baselines3, by default with the tuned settings of its zoo.

cd benchmarks/peers/sb3 && .venv/bin/python train.py --env Reacher-v5 --steps 500000
"""

import sys
from functools import partial
from importlib.metadata import version
from pathlib import Path
from statistics import fmean

sys.path.insert(0, str(Path(__file__).resolve().parents[1]))

import gymnasium
import torch
from stable_baselines3 import PPO
from stable_baselines3.common.callbacks import BaseCallback
from stable_baselines3.common.env_util import make_vec_env
from stable_baselines3.common.evaluation import evaluate_policy
from stable_baselines3.common.vec_env import DummyVecEnv, SubprocVecEnv, VecEnv, VecNormalize
from trial import (
    EVALUATION_EPISODES,
    EVALUATION_SEED_OFFSET,
    RECENT_EPISODES,
    Progress,
    Trial,
    parse_trial,
    report,
)

ACTIVATIONS = {"relu": torch.nn.ReLU, "tanh": torch.nn.Tanh}


class ProgressCallback(BaseCallback):
    def __init__(self, progress: Progress) -> None:
        super().__init__()
        self._progress = progress

    def _on_step(self) -> bool:
        return True

    def _on_rollout_end(self) -> None:
        self.note()

    def note(self) -> None:
        # Raw returns: the monitor that records them lies below the normaliser.
        returns = [episode["r"] for episode in self.model.ep_info_buffer]
        self._progress.update(self.model.num_timesteps, fmean(returns) if returns else None)


def make_envs(trial: Trial) -> VecEnv:
    make_env = partial(gymnasium.make, trial.env_id)
    vec_env_class = {"dummy": DummyVecEnv, "subproc": SubprocVecEnv}[trial.vec]
    envs = make_vec_env(
        make_env, trial.settings.num_envs, seed=trial.seed, vec_env_cls=vec_env_class
    )
    if trial.settings.normalize:
        return VecNormalize(envs, gamma=trial.settings.ppo["gamma"])
    return envs


def make_learner(trial: Trial, envs: VecEnv) -> PPO:
    settings = trial.settings
    policy = {
        "net_arch": {"pi": settings.net, "vf": settings.net},
        "activation_fn": ACTIVATIONS[settings.activation],
        **settings.policy,
    }
    return PPO(
        "MlpPolicy",
        envs,
        n_steps=settings.batch // settings.num_envs,
        batch_size=settings.minibatch,
        n_epochs=settings.epochs,
        policy_kwargs=policy,
        stats_window_size=RECENT_EPISODES,
        seed=trial.seed,
        device="cpu",
        **settings.ppo,
    )


def evaluate(learner: PPO, trial: Trial) -> list[float]:
    """Raw returns of the deterministic policy, with the normaliser frozen."""
    make_env = partial(gymnasium.make, trial.env_id)
    envs = make_vec_env(make_env, 1, seed=trial.seed + EVALUATION_SEED_OFFSET)
    normalizer = learner.get_vec_normalize_env()
    if normalizer is not None:
        envs = VecNormalize(envs, training=False, norm_reward=False)
        envs.obs_rms = normalizer.obs_rms
    returns, _ = evaluate_policy(
        learner, envs, EVALUATION_EPISODES, deterministic=True, return_episode_rewards=True
    )
    envs.close()
    return returns


def main() -> None:
    trial = parse_trial(Path(__file__))
    torch.set_num_threads(trial.threads)
    envs = make_envs(trial)
    learner = make_learner(trial, envs)

    progress = Progress(trial.steps)
    callback = ProgressCallback(progress)
    learner.learn(trial.steps, callback)
    callback.note()

    returns = evaluate(learner, trial)
    envs.close()
    report(f"stable-baselines3 {version('stable-baselines3')}", trial, progress, returns)


if __name__ == "__main__":
    main()
