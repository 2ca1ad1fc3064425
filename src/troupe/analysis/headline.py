"""The top of a report: what came out, in plain words, and what is missing."""

from __future__ import annotations

from collections.abc import Sequence

from troupe.analysis import page
from troupe.analysis.groups import Group
from troupe.analysis.measures import Spread, evaluated, learned, spread, throughput, total
from troupe.analysis.runs import RunRecord, run_names
from troupe.analysis.terms import terms
from troupe.analysis.words import Format, count, duration, figure, joined, millimetres, percent


def title(runs: Sequence[RunRecord]) -> str:
    """Return what a report is about."""
    return joined(_names(runs))


def headline(runs: Sequence[RunRecord], groups: Sequence[Group]) -> str:
    """Return title, headline numbers over all runs, and what is missing."""
    parts = [f"<h1>{page.text(title(runs))}</h1>", page.note(_what(runs, groups))]
    for name in _names(runs):
        members = [run for run in runs if run.experiment.name == name]
        described = members[0].experiment.description
        several = len(members) < len(runs)
        parts.append(page.note(f"{name}: {described}" if several else described))
        parts.append(page.tiles(_tiles(members)))
    parts.append(page.missing(missing_parts(runs)))
    return "\n".join(parts)


def missing_parts(runs: Sequence[RunRecord]) -> list[str]:
    """Return what runs have not got, a line each."""
    lines = []
    for run, name in zip(runs, run_names(runs), strict=True):
        if not run.num_updates:
            lines.append(f"{name}: no update has ended yet, so there are no learning curves.")
        if run.summary is None:
            steps = run.last("steps") or 0.0
            planned = run.experiment.steps
            lines.append(
                f"{name}: no summary. It goes on or was interrupted, after {count(steps)} of "
                f"{count(planned)} {terms([run]).steps}."
            )
        if run.evaluation is None:
            lines.append(f"{name}: not evaluated. `troupe evaluate {run.path}` does that.")
    return lines


def _names(runs: Sequence[RunRecord]) -> list[str]:
    return list(dict.fromkeys(run.experiment.name for run in runs))


def _what(runs: Sequence[RunRecord], groups: Sequence[Group]) -> str:
    seeds = sorted({run.experiment.seed for run in runs})
    if len(runs) == 1:
        return f"One run: {_place(groups[0])}, seed {seeds[0]}."
    labels = [group.label for group in groups]
    listed = "; ".join(labels) if any("," in label for label in labels) else joined(labels)
    words = f"Seed{'s' * (len(seeds) > 1)} {joined([str(seed) for seed in seeds])}."
    return f"{len(runs)} runs: {listed}. {words} Numbers are medians over runs."


def _place(group: Group) -> str:
    return "in one process" if group.workers == 0 else f"on {group.label}"


def _tiles(runs: Sequence[RunRecord]) -> list[tuple[str, str, str]]:
    made = [_accuracy(runs), _success(runs), _return(runs), _time(runs), _attempts(runs)]
    return [tile for tile in made if tile is not None]


def _range(found: Spread, form: Format = figure) -> str:
    """Return the range over runs as a sentence, nothing if there is none."""
    low, high = form(found.low), form(found.high)
    return f" From {low} to {high} over {found.count} runs." if low != high else ""


def _mm(value: float) -> str:
    return f"{millimetres(value)} mm"


def _accuracy(runs: Sequence[RunRecord]) -> tuple[str, str, str] | None:
    mean = spread(runs, evaluated("accuracy_mm", "mean"))
    if mean is None:
        return None
    p99 = spread(runs, evaluated("accuracy_mm", "p99"))
    words = "from the target on average at the end of an episode"
    words += f"; 99 of 100 within {_mm(p99.median)}." if p99 else "."
    return "Accuracy", _mm(mean.median), words + _range(mean, _mm)


def _success(runs: Sequence[RunRecord]) -> tuple[str, str, str] | None:
    rate = spread(runs, evaluated("success_rate"))
    if rate is None:
        return None
    episodes = spread(runs, evaluated("episodes"))
    words = "of the episodes met the task's bound"
    words += f"; {count(episodes.median)} were tried." if episodes else "."
    return "Success", percent(rate.median), words + _range(rate, percent)


def _return(runs: Sequence[RunRecord]) -> tuple[str, str, str] | None:
    if any(run.evaluation is not None and "accuracy_mm" in run.evaluation for run in runs):
        return None
    found = spread(runs, evaluated("mean_return"))
    if found is not None:
        return "Return", figure(found.median), "on average when evaluated." + _range(found)
    found = spread(runs, lambda run: run.last("mean_return"))
    if found is None:
        return None
    words = f"on average while learning, over the {terms(runs).episodes}."
    return "Return", figure(found.median), words + _range(found)


def _time(runs: Sequence[RunRecord]) -> tuple[str, str, str] | None:
    wall_s = spread(runs, total("wall_s"))
    if wall_s is None:
        return None
    steps, rate = spread(runs, total("steps")), spread(runs, throughput)
    words = "of learning"
    if steps is not None and rate is not None:
        words += f" for {count(steps.median)} {terms(runs).steps}, {figure(rate.median)} a second"
    startup_s = spread(runs, total("startup_s"))
    words += f"; start-up took {duration(startup_s.median)}." if startup_s else "."
    return "Time", duration(wall_s.median), words + _range(wall_s, duration)


def _attempts(runs: Sequence[RunRecord]) -> tuple[str, str, str] | None:
    attempts, wall_s = spread(runs, learned("attempts")), spread(runs, learned("wall_s"))
    if attempts is None or wall_s is None:
        begun = spread(runs, total("attempts"))
        if begun is None:
            return None
        asked = any("success" in run.metrics for run in runs)
        words = "episodes begun" + ("; 10 of 10 have not succeeded yet." if asked else ".")
        return "Attempts", count(begun.median), words
    words = f"until 10 of 10 episodes succeeded, after {duration(wall_s.median)}."
    if attempts.count < len(runs):
        words += f" {attempts.count} of {len(runs)} runs got there."
    return "Attempts", count(attempts.median), words + _range(attempts, count)
