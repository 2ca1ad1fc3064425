import json
from pathlib import Path

import numpy as np
from mcap.reader import make_reader

from troupe.core.arrays import ArraySpec
from troupe.episodes.mcap import write_mcap
from troupe.episodes.recording import RecordingWriter


def test_another_reader_finds_every_message_in_order(tmp_path: Path) -> None:
    specs = {"arm.angle": ArraySpec((2,), "rad"), "brain.spikes": ArraySpec((), "spikes")}
    writer = RecordingWriter(tmp_path / "recording", specs)
    writer.add("brain.spikes", 5, np.array([3.0]))
    writer.add("arm.angle", 0, np.array([[0.5, np.nan]]))
    writer.add("arm.angle", 10, np.array([[0.25, 1.0]]))
    writer.flush()
    write_mcap(tmp_path / "recording", tmp_path / "run.mcap")
    with (tmp_path / "run.mcap").open("rb") as file:
        found = [
            (channel.topic, message.log_time, json.loads(message.data))
            for _, channel, message in make_reader(file).iter_messages()
        ]
    assert found == [
        ("/arm/angle", 0, {"instances": [[0.5, None]], "unit": "rad"}),
        ("/brain/spikes", 5, {"instances": [3.0], "unit": "spikes"}),
        ("/arm/angle", 10, {"instances": [[0.25, 1.0]], "unit": "rad"}),
    ]
    assert not list(tmp_path.glob(".*"))
