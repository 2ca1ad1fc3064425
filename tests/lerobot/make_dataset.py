"""Make a data set by LeRobot; run in LeRobot's own environment:
make_dataset.py FOLDER video|image, or FOLDER append to add an episode to one that is there"""

import sys

import numpy as np

FEATURES = {
    "observation.state": {"dtype": "float32", "shape": (4,), "names": list("abcd")},
    "action": {"dtype": "float32", "shape": (2,), "names": None},
    "next.reward": {"dtype": "float32", "shape": (1,), "names": None},
    "next.done": {"dtype": "bool", "shape": (1,), "names": None},
    "next.success": {"dtype": "bool", "shape": (1,), "names": None},
    "force": {"dtype": "float64", "shape": (2, 3), "names": None},
}


def frame(features: dict, episode: int, step: int, length: int) -> dict:
    """Return a frame that its numbers decide."""
    made = {}
    for name, feature in features.items():
        shape = tuple(feature["shape"])
        if feature["dtype"] in ("image", "video"):
            made[name] = np.full(shape, 20 * episode + 3 * step, np.uint8)
        elif feature["dtype"] == "bool":
            made[name] = np.array([step == length - 1])
        else:
            made[name] = np.full(shape, episode + step / 10, feature["dtype"])
    return made


def main(folder: str, kind: str) -> None:
    from lerobot.datasets.lerobot_dataset import LeRobotDataset

    if kind == "append":
        dataset = LeRobotDataset("troupe/check", root=folder)
        own = ("timestamp", "frame_index", "episode_index", "index", "task_index")
        features = {n: f for n, f in dataset.features.items() if n not in own}
        lengths = {dataset.num_episodes: 4}
    else:
        camera = {"dtype": kind, "shape": (32, 48, 3), "names": ["height", "width", "channels"]}
        features = FEATURES | {"observation.images.top": camera}
        dataset = LeRobotDataset.create(
            "troupe/check", 10, features, root=folder, use_videos=kind == "video", vcodec="h264"
        )
        lengths = {0: 5, 1: 7, 2: 3}
    for episode, length in lengths.items():
        for step in range(length):
            task = "lift" if episode % 2 else "reach"
            dataset.add_frame(frame(features, episode, step, length) | {"task": task})
        dataset.save_episode()
    dataset.finalize()


if __name__ == "__main__":
    main(*sys.argv[1:])
