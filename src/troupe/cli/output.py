"""What commands print: lines for people, or one JSON object."""

from __future__ import annotations

import json
import math
import sys
import time
from collections.abc import Callable, Iterator, Mapping
from contextlib import AbstractContextManager, contextmanager, redirect_stdout
from typing import Any

import yaml
from rich.console import Console
from rich.progress import BarColumn, MofNCompleteColumn, Progress, TextColumn, TimeRemainingColumn

console = Console(stderr=True, highlight=False)
PLAIN_EVERY_S = 5.0


def print_json(value: Any) -> None:
    """Print one JSON object, alone, on standard output; numbers that are not finite as null."""
    sys.stdout.write(json.dumps(_finite(value), allow_nan=False) + "\n")


def print_description(description: Mapping[str, Any], as_json: bool) -> None:
    """Print a resolved description on standard output, as YAML or one JSON object."""
    if as_json:
        print_json(description)
    else:
        print(yaml.safe_dump(dict(description), sort_keys=False), end="")


def _finite(value: Any) -> Any:
    if isinstance(value, Mapping):
        return {key: _finite(inner) for key, inner in value.items()}
    if isinstance(value, list | tuple):
        return [_finite(inner) for inner in value]
    return None if isinstance(value, float) and not math.isfinite(value) else value


def users_output(as_json: bool) -> AbstractContextManager[Any]:
    """Keep what the user's own files print apart from the JSON object."""
    return redirect_stdout(sys.stderr if as_json else sys.stdout)


def describe(row: Mapping[str, float]) -> str:
    """Return an update's most telling figures in a line."""
    parts = [f"{row['steps_per_s']:,.0f} steps/s", f"return {row['mean_return']:.2f}"]
    if "error_m" in row:
        parts.append(f"error {row['error_m'] * 1e3:.1f} mm")
    if "success" in row:
        parts.append(f"success {row['success']:.0%}")
    return "  ".join(parts)


@contextmanager
def training_progress(total_steps: int, *, quiet: bool) -> Iterator[Callable[..., None]]:
    """Show how far training is: a bar on a terminal, a line now and then elsewhere.

    Args:
        total_steps: when training will be over.
        quiet: whether to show nothing.
    """
    if quiet:
        yield lambda row: None
        return
    if not console.is_terminal:
        yield _print_lines(total_steps)
        return
    columns = (
        TextColumn("training"),
        BarColumn(),
        MofNCompleteColumn(),
        TimeRemainingColumn(),
        TextColumn("{task.fields[figures]}"),
    )
    with Progress(*columns, console=console) as progress:
        bar = progress.add_task("training", total=total_steps, figures="")
        yield lambda row: progress.update(
            bar, completed=min(row["steps"], total_steps), figures=describe(row)
        )


def _print_lines(total_steps: int) -> Callable[[Mapping[str, float]], None]:
    due = time.monotonic()

    def show(row: Mapping[str, float]) -> None:
        nonlocal due
        if time.monotonic() < due and row["steps"] < total_steps:
            return
        due = time.monotonic() + PLAIN_EVERY_S
        left = max(0.0, total_steps - row["steps"]) / max(1.0, row["steps_per_s"])
        line = f"{row['steps']:>9,.0f}/{total_steps:,} steps  {describe(row)}  {left:.0f} s left"
        print(line, file=sys.stderr, flush=True)

    return show


@contextmanager
def counting_progress(label: str, *, quiet: bool) -> Iterator[Callable[[int, int], None]]:
    """Show how many of something are done: a bar on a terminal, a line now and then elsewhere.

    Args:
        label: what is being done.
        quiet: whether to show nothing.
    """
    if quiet:
        yield lambda done, total: None
        return
    if not console.is_terminal:
        yield _print_counts(label)
        return
    columns = (TextColumn(label), BarColumn(), MofNCompleteColumn(), TimeRemainingColumn())
    with Progress(*columns, console=console) as progress:
        bar = progress.add_task(label)
        yield lambda done, total: progress.update(bar, completed=done, total=total)


def _print_counts(label: str) -> Callable[[int, int], None]:
    due = time.monotonic() + PLAIN_EVERY_S

    def show(done: int, total: int) -> None:
        nonlocal due
        if time.monotonic() >= due:
            due = time.monotonic() + PLAIN_EVERY_S
            print(f"{label}: {done:,} of {total:,}", file=sys.stderr, flush=True)

    return show


def outcome_line(evaluation: Mapping[str, Any]) -> str:
    """Return in words how an evaluation came out."""
    parts = [f"mean return {evaluation['mean_return']:.2f}"]
    if "success_rate" in evaluation:
        parts.append(f"success rate {evaluation['success_rate']:.1%}")
    return f"{', '.join(parts)} over {evaluation['episodes']} new episodes"
