"""The sections of a report below its headline."""

from __future__ import annotations

import json
from collections.abc import Sequence
from typing import Any

from troupe.analysis import page
from troupe.analysis.cost import run_cost
from troupe.analysis.curves import Milestone, error_bound_m, first_within
from troupe.analysis.figures import Picture
from troupe.analysis.groups import Group
from troupe.analysis.measures import Measure, evaluated, learned, spread, throughput, total
from troupe.analysis.published import (
    COST_EUR,
    EUR_PER_INSTANCE_HOUR,
    INSTANCE_HOURS,
    SOURCE,
    Published,
)
from troupe.analysis.runs import RunRecord, run_names
from troupe.analysis.settings import differing, flatten
from troupe.analysis.terms import Terms, terms
from troupe.analysis.words import (
    NOTHING,
    Format,
    count,
    duration,
    figure,
    millimetres,
    percent,
    shown,
)

CYCLES_NOTE = (
    "AP and RP follow the formulas of ISO 9283 in simulation; a deterministic simulation repeats "
    "itself exactly, so what RP measures is the declared noise."
)


def pictures(drawn: Sequence[Picture]) -> str:
    """Return the figures."""
    if not drawn:
        return ""
    body = "\n".join(page.picture(p.title, p.note, p.svg) for p in drawn)
    return page.heading("Figures", body)


def accuracy(groups: Sequence[Group]) -> str:
    """Return accuracy and repeatability beside the published ones; nothing without an error."""
    measures = (
        ("mean error (mm)", evaluated("accuracy_mm", "mean"), millimetres),
        ("99th percentile (mm)", evaluated("accuracy_mm", "p99"), millimetres),
        ("success", evaluated("success_rate"), percent),
        ("accuracy as in the paper (mm)", evaluated("paper", "accuracy_mm"), millimetres),
        ("repeatability as in the paper (mm)", evaluated("paper", "repeatability_mm"), millimetres),
        ("AP (mm)", evaluated("iso9283", "ap_mm"), millimetres),
        ("RP (mm)", evaluated("iso9283", "rp_mm"), millimetres),
    )
    rows = [
        [_name(group), *(shown(spread(group.runs, m), form) for _, m, form in measures)]
        for group in groups
    ]
    if all(cell == NOTHING for row in rows for cell in row[1:]):
        return ""
    for published in _published(groups):
        rows += _published_rows(published)
    notes = [
        "Simulated, not certified. "
        + CYCLES_NOTE
        + " Accuracy and repeatability as in the paper are root mean squares over 10 runs with "
        "one target, of the distance to the target and to the mean position.",
        *_protocols(groups),
    ]
    if _published(groups):
        notes.append(f"Published: {SOURCE}.")
    header = ["", *(name for name, _, _ in measures)]
    body = page.table(header, rows) + "".join(map(page.note, notes))
    return page.heading("Accuracy and repeatability (simulated, not certified)", body)


def effort(groups: Sequence[Group]) -> str:
    """Return what learning took: time, steps, attempts, and where the error bounds are met."""
    words = _terms(groups)
    measures: list[tuple[str, Measure, Format]] = [
        ("learning time", total("wall_s"), duration),
        (words.steps, total("steps"), count),
        (f"{words.steps}/s", throughput, figure),
    ]
    can_succeed = any("success" in run.metrics for group in groups for run in group.runs)
    if can_succeed:
        measures += [
            ("time until learned", learned("wall_s"), duration),
            ("attempts until learned", learned("attempts"), count),
        ]
    rows = [
        [_name(group), *(shown(spread(group.runs, m), form) for _, m, form in measures)]
        for group in groups
    ]
    for published in _published(groups) if can_succeed else ():
        for workers, time_s in published.time_s.items():
            name = f"published, {published.joints} joints, {_workers(workers)}"
            attempts = f"more than {published.attempts}"
            rows.append([name, NOTHING, NOTHING, NOTHING, duration(time_s), attempts])
    body = page.table(["", *(name for name, _, _ in measures)], rows)
    if can_succeed:
        body += page.note(
            "Learned: 10 of 10 deterministic episodes end within the task's bound. Attempts are "
            "episodes begun; those that only evaluate do not count."
        )
    return page.heading("What it took", body + _bounds(groups))


def cost(runs: Sequence[RunRecord], price_per_hour: float) -> str:
    """Return instance hours and money."""
    rows, hours, price = [], 0.0, 0.0
    for run, name in zip(runs, run_names(runs), strict=True):
        found = run_cost(run, price_per_hour)
        if found is None:
            rows.append([name, NOTHING, NOTHING])
            continue
        hours += found.instance_hours
        price += found.price
        rows.append([name, figure(found.instance_hours), _money(found.price)])
    if len(runs) > 1:
        rows.append(["all runs", figure(hours), _money(price)])
    rows.append(["published, all experiments", count(INSTANCE_HOURS), f"{COST_EUR:.2f} EUR"])
    body = page.table(["", "instance hours", "price"], rows) + page.note(
        f"Price per hour × max(1, workers) × wall time, start-up included, at "
        f"{price_per_hour:g} an hour for one machine; the published price is "
        f"{EUR_PER_INSTANCE_HOUR} EUR an hour."
    )
    return page.heading("Cost", body)


def settings(runs: Sequence[RunRecord]) -> str:
    """Return the resolved settings: of several runs what differs, then what they share."""
    flats = [flatten(run.experiment) for run in runs]
    keys = differing(flats)
    parts = []
    if keys:
        rows = [
            [name, *(flat.get(key, NOTHING) for key in keys)]
            for name, flat in zip(run_names(runs), flats, strict=True)
        ]
        sentence = f"The {len(runs)} runs differ in these settings:"
        parts += [page.paragraph(sentence), page.table(["", *keys], rows)]
    common = page.table(
        ["setting", "value"], [[k, v] for k, v in flats[0].items() if k not in keys]
    )
    title = "What all runs share" if keys else "All settings"
    parts.append(page.details(title, common, is_open=not keys))
    return page.heading("Settings", "\n".join(parts))


def versions(runs: Sequence[RunRecord]) -> str:
    """Return where the runs were made, and with what."""
    origins = [dict(run.provenance) for run in runs]
    packages = [origin.pop("versions", None) or {} for origin in origins]
    parts = [page.table(["", ""], _merged(origins))]
    parts.append(page.details("Package versions", page.table(["package", ""], _merged(packages))))
    return page.heading("Provenance", "\n".join(parts))


def _merged(mappings: Sequence[dict[str, Any]]) -> list[list[str]]:
    """Return a row per key with its values, each once."""
    rows = []
    for key in dict.fromkeys(key for mapping in mappings for key in mapping):
        values = dict.fromkeys(_plain(mapping.get(key)) for mapping in mappings)
        rows.append([key, ", ".join(values)])
    return rows


def _plain(value: Any) -> str:
    if value is None:
        return NOTHING
    return value if isinstance(value, str) else json.dumps(value, ensure_ascii=False)


def _name(group: Group) -> str:
    seeds = len(group.runs)
    return group.label + (f" ({seeds} seeds)" if seeds > 1 else "")


def _workers(workers: int) -> str:
    return "1 worker" if workers == 1 else f"{workers} workers"


def _money(price: float) -> str:
    return f"{price:.2f}" if price >= 1 else figure(price)


def _published(groups: Sequence[Group]) -> list[Published]:
    return list({p.robot: p for g in groups if (p := g.published) is not None}.values())


def _published_rows(published: Published) -> list[list[str]]:
    """Return rows of the accuracy table: simulated by workers, then on the real robot."""
    simulated = [
        (f"simulated, {_workers(n)}", accuracy, published.repeatability[n], published.unit)
        for n, accuracy in published.accuracy.items()
    ]
    words = ("real robot, first", "real robot, best")
    figures = (published.real_accuracy_mm, published.real_repeatability_mm)
    real = [(w, a, r, "mm") for w, a, r in zip(words, *figures, strict=False)]
    rows = []
    for place, accuracy, repeatability, unit in simulated + real:
        values = [
            f"{value:g}" + " (no unit given)" * (not unit) for value in (accuracy, repeatability)
        ]
        name = f"published, {published.joints} joints, {place}"
        rows.append([name, NOTHING, NOTHING, NOTHING, *values, NOTHING, NOTHING])
    return rows


def _protocols(groups: Sequence[Group]) -> list[str]:
    """Return how the evaluations were made, each way once."""
    sentences: dict[str, None] = {}
    for run in (run for group in groups for run in group.runs):
        evaluation = run.evaluation or {}
        iso = evaluation.get("iso9283") or {}
        if "poses" in iso:
            noise = ", ".join(f"{k}: {_plain(v)}" for k, v in (iso.get("noise") or {}).items())
            words = f"AP and RP over {_plain(iso['poses'])} poses, {_plain(iso['cycles'])} cycles"
            sentences[f"{words}; noise: {noise or 'none'}."] = None
        if "episodes" in evaluation:
            words = f"Mean error, 99th percentile and success over {evaluation['episodes']}"
            sentences[f"{words} deterministic episodes, seed {evaluation.get('seed')}."] = None
    return list(sentences)


def _bounds(groups: Sequence[Group]) -> str:
    """Return when the mean error of the last training episodes first met each bound."""
    rows = []
    for group in groups:
        for words, bound_m in _bounds_m(group).items():
            met = [m for run in group.runs if (m := first_within(run, bound_m)) is not None]
            if not any("error_m" in run.metrics for run in group.runs):
                continue
            rows.append([_name(group), words, *_milestones(met, len(group.runs))])
    if not rows:
        return ""
    said = _terms(groups)
    header = ["", "error bound", "met by", "time", said.steps, "attempts"]
    sentence = f"Where the mean error of the {said.episodes_in_full} first met a bound"
    return page.paragraph(f"{sentence} (medians):") + page.table(header, rows)


def _terms(groups: Sequence[Group]) -> Terms:
    return terms(run for group in groups for run in group.runs)


def _bounds_m(group: Group) -> dict[str, float]:
    bounds: dict[str, float] = {}
    task_m = error_bound_m(group.runs[0].experiment)
    if task_m is not None:
        bounds[f"{millimetres(1000 * task_m)} mm, the task's"] = task_m
    published = group.published
    if published is not None and published.best_accuracy_mm is not None:
        best_mm = published.best_accuracy_mm
        bounds[f"{millimetres(best_mm)} mm, the best published"] = best_mm / 1000
    return bounds


def _milestones(met: list[Milestone], num_runs: int) -> list[str]:
    words = f"{len(met)} of {num_runs} runs"
    if not met:
        return [words, NOTHING, NOTHING, NOTHING]
    middle = sorted(met, key=lambda milestone: milestone.wall_s)[(len(met) - 1) // 2]
    return [words, duration(middle.wall_s), count(middle.steps), count(middle.attempts)]
