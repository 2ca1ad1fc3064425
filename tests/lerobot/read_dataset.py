"""Read a data set by LeRobot and write every value it gives to a file; run in LeRobot's own
environment: read_dataset.py FOLDER OUT.npz"""

import sys

import numpy as np
import torch
from lerobot.datasets.lerobot_dataset import LeRobotDataset

folder, out = sys.argv[1:]
dataset = LeRobotDataset("troupe/check", root=folder, video_backend="pyav")
items = [dataset[i] for i in range(len(dataset))]
values = {
    name: np.stack([np.asarray(item[name]) for item in items])
    for name, value in items[0].items()
    if isinstance(value, torch.Tensor)
}
values["task"] = np.array([item["task"] for item in items])

# windows over time, as policies are given them
delta = 1 / dataset.fps
windows = LeRobotDataset(
    "troupe/check",
    root=folder,
    video_backend="pyav",
    delta_timestamps={
        "action": [0.0, delta],
        **{k: [-delta, 0.0] for k in dataset.meta.camera_keys},
    },
)
values["windows.action"] = np.stack([np.asarray(windows[i]["action"]) for i in range(len(windows))])
values["windows.is_pad"] = np.stack(
    [windows[i]["action_is_pad"].numpy() for i in range(len(windows))]
)
for camera in dataset.meta.camera_keys:
    values[f"windows.{camera}"] = np.stack([windows[i][camera].numpy() for i in range(3)])

for name, stats in dataset.meta.stats.items():
    values |= {f"stats.{name}.{figure}": value for figure, value in stats.items()}
values["episodes"], values["fps"] = dataset.num_episodes, dataset.fps
np.savez(out, **values)
