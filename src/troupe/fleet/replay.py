"""A recorded run again, from its seed: whether it is the same."""

from __future__ import annotations

import json
from contextlib import suppress
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt

from troupe.core.errors import EngineError, FunctionError, UserError
from troupe.core.time import NANOSECONDS
from troupe.episodes.recording import PackRecording, json_text, read_recording
from troupe.experiments.build import build_loop
from troupe.fleet.closed_loop import begin
from troupe.fleet.runs import RunDirectory
from troupe.loop.recording import Recorder

ENDED_BEFORE_FUNCTIONS = ("duration", "interrupted")
"""Reasons of runs whose functions did not run any more at the last moment."""


@dataclass(frozen=True)
class Difference:
    """Where a run is not the same again.

    Attributes:
        pack: as "engine.pack".
        time_ns: simulated time.
        instance: index.
        recorded: value then.
        replayed: value now; None if nothing was written.
    """

    pack: str
    time_ns: int
    instance: int
    recorded: Any
    replayed: Any

    def __str__(self) -> str:
        """Return the difference in a sentence."""
        return (
            f"first difference at {self.time_ns / NANOSECONDS['s']:g} s in {self.pack}, instance "
            f"{self.instance}: recorded {self.recorded}, replayed {self.replayed}"
        )


@dataclass(frozen=True)
class Replay:
    """What came out.

    Attributes:
        samples: how many were the same, over all packs.
        packs: that were compared.
        time_ns: simulated time that was replayed.
        difference: the first one, None if all is the same.
    """

    samples: int
    packs: tuple[str, ...]
    time_ns: int
    difference: Difference | None


def replay_run(path: Path) -> Replay:
    """Run a recorded run's experiment again from its seed and compare every sample.

    Args:
        path: of the run directory.

    Raises:
        UserError: if it is no run, or has no recording.
    """
    run = RunDirectory.open(path)
    recording = read_recording(path / "recording")
    if not recording:
        raise UserError(
            f"run '{path}' has no recording to compare with: was it made by troupe run?"
        )
    experiment = run.experiment()
    if experiment.loop.type == "event" or experiment.loop.ports:
        raise UserError(
            f"run '{path}' cannot be repeated: its loop kept to real time or took messages from "
            "outside."
        )
    until_ns = max(int(pack.time_ns[-1]) for pack in recording.values())
    reason = run.read_json("summary.json").get("stop_reason")
    loop = build_loop(experiment, experiment.fleet.instances, 0)
    try:
        comparison = _Comparison(recording)
        recorder = Recorder(loop, experiment.loop.record, comparison)
        loop.observers.append(recorder)
        begin(loop, experiment.seed)
        is_done = loop.synchronise()
        while not is_done and comparison.difference is None and loop.now_ns < until_ns:
            is_done = loop.advance_to(min(loop.next_ns, until_ns))
        if comparison.difference is None and reason not in ENDED_BEFORE_FUNCTIONS:
            with suppress(EngineError, FunctionError, UserError):  # as it failed before
                loop.synchronise()
        if comparison.difference is None:
            recorder.synchronised(loop.now_ns, tuple(loop.engines))
        return Replay(
            samples=comparison.samples,
            packs=tuple(recording),
            time_ns=loop.now_ns,
            difference=comparison.difference or comparison.missing(),
        )
    finally:
        loop.close()


class _Comparison:
    """Compares samples, in the order in which they come, with those that were recorded."""

    def __init__(self, recording: dict[str, PackRecording]) -> None:
        self.difference: Difference | None = None
        self.samples = 0
        self._recording = recording
        self._next = dict.fromkeys(recording, 0)

    def add(self, pack: str, time_ns: int, value: npt.NDArray[Any]) -> None:
        """Compare one sample, unless a difference was found already."""
        if self.difference is not None or pack not in self._recording:
            return
        recorded, index = self._recording[pack], self._next[pack]
        if index >= len(recorded.time_ns):
            return  # the run was cut short there
        self._next[pack] += 1
        then_ns = int(recorded.time_ns[index])
        expected = recorded.values[index]
        if then_ns != time_ns:
            late = min(then_ns, time_ns)
            self.difference = Difference(pack, late, 0, f"at {then_ns} ns", f"at {time_ns} ns")
            return
        different = _differing(expected, value)
        if len(different):
            i = int(different[0])
            recorded_value, replayed_value = _plain(expected[i]), _plain(value[i])
            self.difference = Difference(pack, time_ns, i, recorded_value, replayed_value)
            return
        self.samples += 1

    def missing(self) -> Difference | None:
        """Return the first sample that was recorded and did not come again."""
        for pack, recorded in self._recording.items():
            index = self._next[pack]
            if index < len(recorded.time_ns):
                value = _plain(recorded.values[index][0])
                return Difference(pack, int(recorded.time_ns[index]), 0, value, None)
        return None


def _differing(expected: npt.NDArray[Any], value: npt.NDArray[Any]) -> npt.NDArray[np.int64]:
    if expected.dtype.hasobject:
        pairs = zip(expected, value, strict=True)
        return np.flatnonzero([json_text(then) != json_text(now) for then, now in pairs])
    both_nan = np.isnan(expected) & np.isnan(value) if expected.dtype.kind == "f" else False
    same = (expected == value) | both_nan
    return np.flatnonzero(~same.reshape(len(same), -1).all(axis=1))


def _plain(value: Any) -> Any:
    """Return a value as JSON has it, which does not change any more."""
    return json.loads(json_text(value))
