"""What a user asks ``troupe plan`` for: numbers of workers, bandwidths, times, the mode."""

from __future__ import annotations

import re
from collections.abc import Sequence
from dataclasses import replace
from typing import TYPE_CHECKING, Literal, get_args

from troupe.core.errors import UserError, unknown
from troupe.core.time import NANOSECONDS, parse_duration

if TYPE_CHECKING:
    from troupe.analysis.fleet_model_nodes import SimulatorTime
    from troupe.experiments.schema import Experiment

Mode = Literal["synchronous", "asynchronous"]

MAX_WORKERS = 4096

BITS = {
    f"{prefix}{unit}/s": factor * bits
    for prefix, factor in {"": 1.0, "k": 1e3, "M": 1e6, "G": 1e9}.items()
    for unit, bits in {"bit": 1, "B": 8}.items()
}

_BANDWIDTH = re.compile(r"\s*([0-9]+(?:\.[0-9]+)?)\s*(\S+)\s*")


def parse_workers(text: str) -> Sequence[int]:
    """Return numbers of workers: "8", "1,4,16", or "1..4096" for all powers of two in between.

    Raises:
        UserError: if the text is none of these, or a number is not 1 to 4096.
    """
    if re.fullmatch(r"\d+\.\.\d+", text):
        first, last = (_workers(part, text) for part in text.split(".."))
        if first > last:
            raise UserError(f"--workers '{text}': the first number is more than the last.")
        between = [2**i for i in range(MAX_WORKERS.bit_length()) if first < 2**i < last]
        return sorted({first, *between, last})
    if re.fullmatch(r"\d+(,\d+)*", text):
        return sorted({_workers(part, text) for part in text.split(",")})
    raise UserError(f"--workers '{text}': write numbers of workers: 8, 1,4,16 or 1..{MAX_WORKERS}.")


def _workers(part: str, text: str) -> int:
    if not 1 <= int(part) <= MAX_WORKERS:
        raise UserError(f"--workers '{text}': {int(part)} is not valid; valid: 1 to {MAX_WORKERS}.")
    return int(part)


def parse_bandwidth(text: str) -> float:
    """Return a bandwidth in bit/s.

    Raises:
        UserError: if the text is not a number over 0 with one of the units.
    """
    match = _BANDWIDTH.fullmatch(text)
    if match is None or match[2] not in BITS or float(match[1]) == 0:
        raise UserError(
            f"--bandwidth '{text}': write a number over 0 and a unit ({', '.join(BITS)}), "
            "e.g. 1Gbit/s."
        )
    return float(match[1]) * BITS[match[2]]


def parse_seconds(text: str, option: str) -> float:
    """Return a duration in seconds.

    Raises:
        UserError: if the text is not a number with a unit.
    """
    try:
        return parse_duration(text) / NANOSECONDS["s"]
    except UserError as error:
        raise UserError(f"{option}: {error}") from error


def check_price(price_per_hour: float | None) -> float | None:
    """Return a price that is at least 0.

    Raises:
        UserError: if it is not.
    """
    if price_per_hour is not None and not 0 <= price_per_hour < float("inf"):
        raise UserError(f"--price-per-hour: at least 0, not {price_per_hour}.")
    return price_per_hour


def choose_simulator(
    experiment: Experiment, step_time: str | None, tail: float | None
) -> SimulatorTime | None:
    """Return the time of a slow simulator, as was asked for or as the experiment declares.

    Raises:
        UserError: if a value is out of its range, or there is a tail of nothing.
    """
    from troupe.analysis.fleet_model_nodes import SimulatorTime

    declared = None if step_time is not None else _declared(experiment)
    if step_time is not None:
        mean_s = parse_seconds(step_time, "--step-time")
        if mean_s == 0:
            raise UserError("--step-time: more than 0; leave it out for a fast simulator.")
        declared = SimulatorTime(mean_s)
    if tail is None:
        return declared
    if declared is None:
        raise UserError("--tail is of the step time: give --step-time too.")
    if not 1 < tail < float("inf"):
        raise UserError(f"--tail: an exponent over 1, not {tail}; at 1 there is no mean.")
    return SimulatorTime(declared.mean_s, "pareto", tail, declared.longest_s)


def _declared(experiment: Experiment) -> SimulatorTime | None:
    """Return the step time of the engines that declare one, one after the other.

    Of several, the first that is drawn gives the kind of distribution.
    """
    from troupe.analysis.fleet_model_nodes import SimulatorTime
    from troupe.engines.step_times import DrawnTime, LognormalTime, ParetoTime

    total = SimulatorTime(0.0)
    for engine in experiment.engines.values():
        time = engine.step_time
        if time is None:
            continue
        exchanges = experiment.loop.step / (engine.sync or experiment.loop.step)
        mean_ns = time.mean if isinstance(time, DrawnTime) else time
        total = replace(total, mean_s=total.mean_s + exchanges * mean_ns / NANOSECONDS["s"])
        if total.kind == "fixed" and isinstance(time, DrawnTime):
            longest_s = None if time.longest is None else time.longest / NANOSECONDS["s"]
            if isinstance(time, ParetoTime):
                total = SimulatorTime(total.mean_s, "pareto", time.exponent, longest_s)
            elif isinstance(time, LognormalTime):
                total = SimulatorTime(total.mean_s, "lognormal", time.sigma, longest_s)
    return total if total.mean_s else None


def choose_mode(experiment: Experiment, mode: str | None) -> Mode:
    """Return the mode that was asked for, or else the experiment's.

    Raises:
        UserError: if there is none of that name, or no model of it.
    """
    name, where = (mode, "--mode") if mode is not None else (experiment.fleet.mode, "fleet.mode")
    for known in get_args(Mode):
        if name == known:
            found: Mode = known
            return found
    if mode is None:
        raise UserError(
            f"{where}: '{name}' cannot be planned; give --mode synchronous or asynchronous."
        )
    raise unknown("mode", name, get_args(Mode), where)
