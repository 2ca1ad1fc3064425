"""Learn from stored attempts where a grasp succeeds, then grasp by it: in PyTorch.

    troupe collect iiwa-grasp --episodes 5000 --store grasps
    python examples/learn_to_grasp_torch.py grasps

The network sees what the hand would see: heights over the tray's floor around the place where it
would close, turned with it. It is trained on stored attempts, and then chooses the best of many
random places in the trays of a fleet, which are full of things that it has never seen. What it has
learned is written to grasper.safetensors, with which it collects, too:

    troupe collect iiwa-grasp --set task.image=overhead.depth --episodes 4000 --store grasps
        --policy examples/learn_to_grasp_torch.py:Grasper
"""

import sys
from pathlib import Path

import numpy as np
import torch
from safetensors.torch import load_file, save_file
from torch import nn
from torch.utils.data import DataLoader

import troupe
from troupe.experiments.load import load_experiment
from troupe.fleet.collecting.grasp_view import GraspView
from troupe.policies import PolicyStep

COLUMNS = ["image.overhead.depth", "step.action", "about.success"]
SEEN = ["task.image=overhead.depth", "task.objects=test", "collect.images=[]"]
SEEN += ["engines.arm.cameras.overhead.modalities=[depth]"]
LEARNED = Path("grasper.safetensors")
CANDIDATES = 256
torch.set_num_threads(1)  # so small a network is fastest on one core


class Network(nn.Module):
    """The logarithmic odds that grasps succeed, of heights around them, (B, 20, 20), in m."""

    def __init__(self) -> None:
        super().__init__()
        self.see = nn.Sequential(
            *(nn.Conv2d(1, 16, 5, stride=2, padding=2), nn.ReLU()),
            *(nn.Conv2d(16, 32, 3, stride=2, padding=1), nn.ReLU(), nn.Flatten()),
        )
        self.judge = nn.Sequential(nn.Linear(801, 64), nn.ReLU(), nn.Linear(64, 1))

    def forward(self, patch_m: torch.Tensor, height_m: torch.Tensor) -> torch.Tensor:
        seen = self.see((patch_m[:, None] / 0.05).clamp(-0.2, 2.0))
        return self.judge(torch.cat([seen, 50 * height_m[:, None]], dim=1))[:, 0]


class Grasper:
    """A policy: the most promising of many random grasps in each depth image."""

    noise_size = 2

    def __init__(self, experiment, network: Network | None = None) -> None:
        self.view = GraspView.of(experiment)
        self.network, self.version = network or Network(), 1
        if network is None:
            self.network.load_state_dict(load_file(LEARNED))

    @torch.inference_mode()
    def act(self, observation, noise=None, first_instance=0) -> PolicyStep:
        given = np.zeros((len(observation), 2), np.float32) if noise is None else noise
        rngs = [np.random.default_rng(row) for row in given.view(np.uint32)]
        action = np.array([rng.uniform(-1, 1, (CANDIDATES, 4)) for rng in rngs], np.float32)
        grasp = self.view.grasps(action)
        patch = torch.from_numpy(self.view.patches(observation, grasp)).flatten(0, 1)
        height_m = torch.from_numpy(grasp[..., 2].astype(np.float32)).flatten()
        best = self.network(patch, height_m).reshape(len(action), -1).argmax(dim=1).numpy()
        return PolicyStep(action[np.arange(len(action)), best], np.zeros(len(action), np.float32))


def train(url: str, epochs: int = 30, batch_size: int = 256, workers: int = 2) -> Network:
    """Return a network that tells which of a store's attempts succeed."""
    torch.manual_seed(0)
    view = GraspView.of(load_experiment("iiwa-grasp"))
    dataset = troupe.open_store(url).torch_dataset(COLUMNS, batch_size, seed=0)
    options = {"multiprocessing_context": "spawn", "persistent_workers": True}
    loader = DataLoader(dataset, batch_size=None, num_workers=workers, **options if workers else {})
    network = Network()
    optimizer = torch.optim.AdamW(network.parameters(), 1e-3, weight_decay=1e-3)
    schedule = torch.optim.lr_scheduler.CosineAnnealingLR(optimizer, epochs)
    for epoch in range(epochs):
        dataset.set_epoch(epoch)
        losses, successes = [], []
        for batch in loader:
            # an item is the image in which an attempt was chosen, with what was chosen
            depth, grasp = batch[COLUMNS[0]].numpy(), view.grasps(batch[COLUMNS[1]].numpy())
            patch = torch.from_numpy(view.patches(depth, grasp[:, None])[:, 0])
            # the hand is the same from both sides, and in a mirror
            patch = patch.flip([axis for axis in (1, 2) if torch.rand(()) < 0.5])
            success = batch[COLUMNS[2]].float()
            predicted = network(patch, torch.from_numpy(grasp[:, 2]).float())
            loss = nn.functional.binary_cross_entropy_with_logits(predicted, success)
            optimizer.zero_grad()
            loss.backward()
            optimizer.step()
            losses.append(loss.item())
            successes += success.tolist()
        schedule.step()
    rate, loss = np.mean(successes), np.mean(losses)
    print(f"trained on {len(successes)} attempts, {rate:.1%} successful: loss {loss:.3f}")
    return network


def success_rate(network: Network | None = None, attempts: int = 300, seed: int = 1) -> float:
    """Return how many attempts succeed on things that no training has shown, without it random."""
    rng = np.random.default_rng(seed)
    grasper = Grasper(load_experiment("iiwa-grasp", SEEN), network or Network())

    def act(batch) -> np.ndarray:
        action = rng.uniform(-1, 1, (len(batch), 4)).astype(np.float32)
        now = batch.time_ns == grasper.view.decides_ns
        if network is not None and now.any():
            noise = rng.standard_normal((now.sum(), grasper.noise_size), np.float32)
            action[now] = grasper.act(batch.observation[now], noise).action
        return action

    with troupe.connect("iiwa-grasp", instances=30, overrides=SEEN, seed=seed) as fleet:
        return fleet.evaluate(act, attempts // 30)["success"].mean()


if __name__ == "__main__":
    learned = train(sys.argv[1])
    save_file(learned.state_dict(), LEARNED)
    print(f"random attempts lift {success_rate():.1%}, chosen ones {success_rate(learned):.1%}")
