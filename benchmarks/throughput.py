"""Training throughput on `scara-reach`, sampling and learning together, beside SB3 and RLlib.

The peers train with Troupe's network, batch, minibatch and epochs, on Troupe's environment and on
the same one written by hand (`plain_reach`), in several set-ups each. The first round tries all of
them; those that come near the best of their peer and environment go on, and the best of a round is
what counts in it.
"""

from __future__ import annotations

import json
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from benchmarks import plain_reach
from benchmarks.harness import (
    Json,
    Options,
    Peer,
    Spread,
    Table,
    progress,
    ratio,
    train,
    train_peer,
    write_result,
)
from troupe.experiments.load import load_experiment
from troupe.learning.ppo_settings import PPOSettings

EXPERIMENT = "scara-reach"
ENVIRONMENTS = {
    "troupe/ScaraReach-v0": "troupe.envs",
    plain_reach.ID: plain_reach.__name__,
}
SETUPS: dict[Peer, list[dict[str, Any]]] = {
    "sb3": [
        {"vec": "dummy", "num-envs": 8},
        {"vec": "subproc", "num-envs": 8},
        {"vec": "dummy", "num-envs": 64},
    ],
    "rllib": [{"runners": 0}, {"runners": 1}, {"runners": 2}],
}
STEPS = {"troupe": 400_000, "sb3": 60_000, "rllib": 40_000}
QUICK_STEPS = {"troupe": 16_384, "sb3": 8_192, "rllib": 4_096}
TARGETS = {"sb3": "≥ 4×, reach for 5×", "rllib": "≥ 14×, reach for 18×"}
NEAR_BEST = 0.85


@dataclass(frozen=True)
class Contender:
    """A peer in one of its set-ups, on one of the environments."""

    peer: Peer
    env: str
    setup: tuple[tuple[str, Any], ...]

    @property
    def name(self) -> str:
        """For people."""
        shown = ", ".join(f"{option} {value}" for option, value in self.setup)
        return f"{self.peer} ({shown}) on {self.env}"

    def run(self, settings: Path, steps: int, seed: int) -> Json:
        own = {"import": ENVIRONMENTS[self.env], "settings": settings, "steps": steps, "seed": seed}
        return train_peer(self.peer, self.env, {**own, **dict(self.setup)}).run()


Rates = dict[Contender, float]


def run(options: Options) -> None:
    """Let all train in turn and write the result."""
    rounds = options.choose(3, 1, options.rounds)
    steps = options.choose(STEPS, QUICK_STEPS)
    settings = {peer: write_settings(peer, options.out) for peer in SETUPS}
    contenders = [
        Contender(peer, env, tuple(setup.items()))
        for peer, setups in SETUPS.items()
        for env in options.choose(list(ENVIRONMENTS), [plain_reach.ID])
        for setup in options.choose(setups, setups[:1])
    ]
    ours: list[float] = []
    theirs: list[Rates] = []
    runs: list[Json] = []
    for number in range(rounds):
        progress(f"round {number + 1} of {rounds}")
        own = train([EXPERIMENT], options.out / "throughput", {"steps": steps["troupe"]}).run()
        ours.append(own["steps_per_s"])
        rates: Rates = {}
        for contender in contenders:
            found = contender.run(settings[contender.peer], steps[contender.peer], seed=number)
            rates[contender] = found["steps_per_s"]
            del found["curve"]
            runs.append({"round": number, "contender": contender.name, **found})
        theirs.append(rates)
        contenders = [c for c in rates if rates[c] >= NEAR_BEST * best(rates, c.peer, c.env)]
    ratios = {peer: ratio(ours, [best(rates, peer) for rates in theirs]) for peer in SETUPS}
    table = Table(
        f"Training {EXPERIMENT}: steps/s without start-up (rounds: {rounds})",
        ["", "steps/s", "Troupe / it", "must"],
        [["Troupe", str(Spread.of(ours)), "", ""], *_rows(ours, theirs)],
    )
    print(table)
    write_result(
        "throughput",
        options,
        [table],
        steps=steps,
        ratios={peer: vars(spread) for peer, spread in ratios.items()},
        troupe_steps_per_s=ours,
        peers_steps_per_s=[{c.name: rate for c, rate in rates.items()} for rates in theirs],
        runs=runs,
    )


def write_settings(peer: Peer, folder: Path) -> Path:
    """Write the settings that make a peer do the work of our experiment; return the file."""
    ours = load_experiment(EXPERIMENT).learner
    assert isinstance(ours, PPOSettings)
    common = {"gamma": ours.gamma}
    own: dict[Peer, tuple[dict[str, Any], dict[str, Any]]] = {
        "sb3": (
            {
                "learning_rate": ours.step_size,
                "gae_lambda": ours.gae_lambda,
                "clip_range": ours.clip,
                "ent_coef": ours.entropy_coefficient,
                "vf_coef": ours.value_coefficient,
                "max_grad_norm": ours.max_gradient_norm,
            },
            {},
        ),
        "rllib": (
            {
                "lr": ours.step_size,
                "lambda_": ours.gae_lambda,
                "clip_param": ours.clip,
                "vf_clip_param": 1e9,
                "entropy_coeff": ours.entropy_coefficient,
                "vf_loss_coeff": ours.value_coefficient,
                "use_kl_loss": False,
                "grad_clip": ours.max_gradient_norm,
            },
            {"vf_share_layers": False, "free_log_std": True},
        ),
    }
    ppo, policy = own[peer]
    content = {
        "origin": f"the experiment {EXPERIMENT} of Troupe, so that all do equal work",
        "num_envs": 8,
        "batch": ours.batch,
        "minibatch": ours.minibatch,
        "epochs": ours.epochs,
        "net": list(ours.hidden),
        "activation": ours.activation,
        "normalize": ours.normalise_observations,
        "ppo": {**common, **ppo},
        "policy": policy,
    }
    folder.mkdir(parents=True, exist_ok=True)
    path = folder.absolute() / f"throughput-{peer}-settings.json"
    path.write_text(json.dumps(content, indent=2) + "\n")
    return path


def best(rates: Rates, peer: Peer, env: str | None = None) -> float:
    """Return the most steps/s of a peer, on one environment or on any."""
    return max(rate for c, rate in rates.items() if c.peer == peer and env in (None, c.env))


def _rows(ours: list[float], theirs: list[Rates]) -> list[list[str]]:
    rows = []
    for contender in theirs[0]:
        rates = [rates[contender] for rates in theirs if contender in rates]
        rows.append([contender.name, str(Spread.of(rates)), "", ""])
    for peer in SETUPS:
        for env in {c.env: None for c in theirs[0] if c.peer == peer}:
            found = [best(rates, peer, env) for rates in theirs]
            name = f"best of {peer} on {env}"
            rows.append([name, str(Spread.of(found)), str(ratio(ours, found)), ""])
        found = [best(rates, peer) for rates in theirs]
        name, shown = f"**best of {peer}**", f"**{ratio(ours, found)}**"
        rows.append([name, str(Spread.of(found)), shown, TARGETS[peer]])
    return rows
