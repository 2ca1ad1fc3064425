"""From an experiment to a recorded run of its loop."""

from __future__ import annotations

import threading
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from troupe.core import Streams
from troupe.core.errors import (
    EngineError,
    FunctionError,
    InterruptedRun,
    TroupeError,
    UserError,
)
from troupe.core.time import NANOSECONDS
from troupe.core.user_code import user_traceback
from troupe.engines.base import Fault
from troupe.episodes.mcap import check_mcap, write_mcap
from troupe.episodes.recording import RecordingWriter
from troupe.experiments.build import Loop, build_loop
from troupe.experiments.schema import Experiment
from troupe.fleet.runs import RunDirectory, check_output
from troupe.fleet.signals import interruptible, stopping_on_signals
from troupe.loop import EventLoop
from troupe.loop.pacing import Pacing
from troupe.loop.recording import Recorder, Sink

FOREVER_NS = 2**62


@dataclass(frozen=True)
class Moment:
    """How far a run is.

    Attributes:
        time_s: simulated time.
        duration_s: of the whole run, None if the status function ends it.
        wall_s: real time since the start.
    """

    time_s: float
    duration_s: float | None
    wall_s: float


Report = Callable[[Moment], None]


def run_loop(
    experiment: Experiment,
    out: Path,
    *,
    force: bool = False,
    report: Report = lambda moment: None,
) -> dict[str, Any]:
    """Run an experiment's loop into a run directory and return the summary.

    Args:
        experiment: with a duration, or a status function that ends it.
        out: the run directory, a new one.
        force: whether a run that is there already may be replaced.
        report: called now and then with how far the run is.

    Returns:
        What ``summary.json`` holds.

    Raises:
        UserError: if anything is wrong with the experiment or the output; nothing is written then.
        EngineError: if an engine fails; the recording until then is kept.
        FunctionError: if a function of the user's raises; the recording until then is kept.
        TroupeError: if the recording cannot be written any more; what was written is kept.
        InterruptedRun: if a signal ended it; the recording is complete until then.
    """
    check_output(out, force=force)
    stop = threading.Event()
    with interruptible(stop), _no_exit():
        started_s = time.perf_counter()
        loop = build_loop(experiment, experiment.fleet.instances, 0)
    try:
        with stopping_on_signals(stop):
            with _no_exit():
                begin(loop, experiment.seed)
            execution = Execution(experiment, loop, report)
            execution.prepare()
            run = RunDirectory.create(out, experiment, force=force)
            run.log(f"running {experiment.name}: seed {experiment.seed}")
            return execution.run(run, stop, startup_s=time.perf_counter() - started_s)
    finally:
        loop.close()


def begin(loop: Loop, seed: int) -> None:
    """Reset all instances for the first episode of a root seed."""
    streams = Streams(seed)
    loop.reset([streams.seed("engine", i, 0) for i in range(loop.num_instances)])
    loop.refresh()


@contextmanager
def _no_exit() -> Iterator[None]:
    """Let a file of the user's that exits be an error; else the program would end in silence."""
    try:
        yield
    except SystemExit as error:
        raise UserError(f"a file of the experiment exits:\n{user_traceback(error)}") from error


def _write_summary(run: RunDirectory, summary: dict[str, Any]) -> None:
    try:
        run.write_json("summary.json", summary)
        run.log(f"ended at {summary['time_s']:g} s: {summary['stop_reason']}")
    except OSError as error:
        raise TroupeError(f"'{run.path}' cannot be written: {error.strerror}.") from error


class _Held:
    """Keeps the samples of the first synchronisation until there is a place to write to."""

    def __init__(self) -> None:
        self.target: Sink | None = None
        self._first: list[tuple[str, int, Any]] = []

    def add(self, pack: str, time_ns: int, value: Any) -> None:
        """Keep a sample, or pass it on."""
        if self.target is None:
            self._first.append((pack, time_ns, value))
        else:
            self.target.add(pack, time_ns, value)

    def pass_on(self, target: Sink) -> None:
        """Write what was kept, and from now on everything."""
        self.target = target
        for sample in self._first:
            target.add(*sample)


class Execution:
    """One run of a loop, from its first synchronisation to its summary."""

    def __init__(self, experiment: Experiment, loop: Loop, report: Report) -> None:
        """Choose what is recorded and how time is paced.

        Raises:
            UserError: if a pack to record does not exist, or nothing would end the run.
        """
        settings = experiment.loop
        self._experiment, self._loop, self._report = experiment, loop, report
        if settings.duration is None and not loop.wiring.has_status:
            raise UserError(
                "loop.duration: give how long to run, e.g. 10s, or a @status function that ends "
                "the run."
            )
        self._until_ns = FOREVER_NS if settings.duration is None else settings.duration
        self._pacing = None
        if settings.real_time is not None and not isinstance(loop, EventLoop):  # it paces itself
            self._pacing = Pacing(settings.real_time)
        if settings.record.mcap:
            check_mcap()
        self._held = _Held()
        self._recorder = Recorder(loop, settings.record, self._held)
        loop.observers.append(self._recorder)
        self._num_faults = 0
        self._is_done = False

    def prepare(self) -> None:
        """Synchronise at time 0, so that what does not fit shows before anything is written.

        Raises:
            UserError: if a function raises, or its result does not fit.
        """
        try:
            self._is_done = self._loop.synchronise()
        except FunctionError as error:
            raise UserError(str(error)) from error

    def run(self, run: RunDirectory, stop: threading.Event, startup_s: float) -> dict[str, Any]:
        """Run to the end, write the recording and return the summary."""
        writer = RecordingWriter(run.path / "recording", self._recorder.packs)
        self._held.pass_on(writer)
        began_s = time.perf_counter()
        reason = "failed"
        error: Exception | None = None
        try:
            reason = self._advance(run, writer, stop, began_s)
            self._recorder.synchronised(self._loop.now_ns, tuple(self._loop.engines))
        except FunctionError as raised:
            # the engines are well, and what the function saw tells why it raised
            self._recorder.synchronised(self._loop.now_ns, tuple(self._loop.engines))
            error = raised
            raise
        except Exception as raised:
            error = raised
            raise
        finally:
            unwritten = self._write_rest(run, writer)
            if unwritten is not None:
                reason, error = "failed", error or unwritten
            summary = self._summary(run, reason, error, time.perf_counter() - began_s, startup_s)
            _write_summary(run, summary)
        if unwritten is not None:
            raise unwritten
        if reason == "interrupted":
            raise InterruptedRun(
                f"stopped at {summary['time_s']:g} s of simulated time; the recording in "
                f"{run.path} is complete until then"
            )
        return summary

    def _advance(
        self, run: RunDirectory, writer: RecordingWriter, stop: threading.Event, began_s: float
    ) -> str:
        """Step until the run ends, and return why."""
        loop, pacing, until_ns = self._loop, self._pacing, self._until_ns
        reported_s = began_s
        while not self._is_done:
            if loop.next_ns > until_ns or loop.now_ns >= until_ns:
                return "duration"
            if stop.is_set():
                return "interrupted"
            if pacing is not None:
                pacing.wait(loop.now_ns)
            with self._failing():
                self._is_done = loop.advance_to(loop.next_ns)
            faults = loop.faults()
            if faults:
                self._keep_faults(run, faults)
            now_s = time.perf_counter()
            if now_s - reported_s > 0.1:
                reported_s = now_s
                writer.flush_if_due()
                self._tell(now_s - began_s)
        return "status"

    @contextmanager
    def _failing(self) -> Iterator[None]:
        """Let wrong values of functions, and engines that exit, fail a run that has begun."""
        try:
            yield
        except UserError as error:
            raise EngineError(f"at {self._loop.now_ns / NANOSECONDS['s']:g} s: {error}") from error
        except SystemExit as error:
            raise EngineError(
                f"an engine exited at {self._loop.now_ns / NANOSECONDS['s']:g} s:\n"
                f"{user_traceback(error)}"
            ) from error

    def _write_rest(self, run: RunDirectory, writer: RecordingWriter) -> TroupeError | None:
        """Write what was not written yet, and return why it cannot be."""
        try:
            writer.flush()
            if self._experiment.loop.record.mcap:
                write_mcap(run.path / "recording", run.path / "recording.mcap")
        except TroupeError as error:
            return error
        except OSError as error:
            return TroupeError(f"'{run.path}' cannot be written: {error}.")
        return None

    def _tell(self, wall_s: float) -> None:
        duration_ns = self._experiment.loop.duration
        duration_s = None if duration_ns is None else duration_ns / NANOSECONDS["s"]
        self._report(Moment(self._loop.now_ns / NANOSECONDS["s"], duration_s, wall_s))

    def _keep_faults(self, run: RunDirectory, faults: list[Fault]) -> None:
        """Log instances that failed; a run of one instance cannot go on.

        Raises:
            EngineError: if there is one instance only.
        """
        time_s = self._loop.now_ns / NANOSECONDS["s"]
        self._num_faults += len(faults)
        run.append_json("faults.jsonl", [{"time_s": time_s, **vars(fault)} for fault in faults])
        if self._loop.num_instances == 1:
            raise EngineError(f"the simulation failed at {time_s:g} s: {faults[0].reason}.")

    def _statistics(self) -> dict[str, Any] | None:
        if isinstance(self._loop, EventLoop):
            return self._loop.statistics()
        return None if self._pacing is None else self._pacing.statistics()

    def _summary(
        self,
        run: RunDirectory,
        reason: str,
        error: Exception | None,
        wall_s: float,
        startup_s: float,
    ) -> dict[str, Any]:
        loop = self._loop
        return {
            "run": str(run.path),
            "experiment": self._experiment.name,
            "seed": self._experiment.seed,
            "instances": loop.num_instances,
            "time_s": loop.now_ns / NANOSECONDS["s"],
            "iterations": loop.iteration,
            "wall_s": wall_s,
            "startup_s": startup_s,
            "stop_reason": reason,
            "error": None if error is None else str(error),
            "faults": self._num_faults,
            "pacing": self._statistics(),
        }
