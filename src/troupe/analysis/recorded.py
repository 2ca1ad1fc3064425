"""The report on runs of a loop: what was recorded, and how the run went."""

from __future__ import annotations

from collections.abc import Sequence

from troupe.analysis import page, sections
from troupe.analysis.figures import Picture
from troupe.analysis.runs import RunRecord, run_names
from troupe.analysis.traces import Recording, draw_traces
from troupe.episodes.recording import read_recording

REASONS = {
    "duration": "ran for its duration",
    "status": "ended by its status function",
    "interrupted": "interrupted; complete until then",
    "failed": "failed; complete until then",
}


def is_recorded(run: RunRecord) -> bool:
    """Whether a run is one of a loop, with a recording."""
    return (run.path / "recording").is_dir()


def recorded_body(runs: Sequence[RunRecord]) -> tuple[str, list[Picture]]:
    """Return the body of the page about recorded runs, and its figures."""
    parts, drawn = [], []
    for run, name in zip(runs, run_names(runs), strict=True):
        recording = read_recording(run.path / "recording")
        pictures = draw_traces(recording)
        if len(runs) > 1:
            pictures = [
                Picture(f"{name}_{p.name}", p.title, p.note, p.png, p.svg) for p in pictures
            ]
        drawn += pictures
        title = run.experiment.name if len(runs) == 1 else f"{run.experiment.name}: {name}"
        parts += [
            f"<h1>{page.text(title)}</h1>",
            page.note(run.experiment.description),
            page.tiles(_tiles(run)),
            page.missing(_missing(run)),
            sections.pictures(pictures),
            page.heading("Recorded datapacks", _packs(recording)),
        ]
    parts += [sections.settings(runs), sections.versions(runs)]
    return "\n".join(part for part in parts if part), drawn


def _tiles(run: RunRecord) -> list[tuple[str, str, str]]:
    summary = run.summary
    if summary is None:
        return []
    speed = summary["time_s"] / summary["wall_s"] if summary["wall_s"] else 0.0
    tiles = [
        (f"{summary['time_s']:g} s", "simulated time", REASONS[summary["stop_reason"]]),
        (f"{summary['wall_s']:.2f} s", "wall time", f"{speed:.2f} times real time"),
        (f"{summary['iterations']:,}", "synchronisations", f"{summary['instances']} instances"),
    ]
    pacing = summary.get("pacing")
    if pacing:
        late = f"99 % within {pacing['late_ms_p99']:.2f} ms, worst {pacing['late_ms_max']:.2f} ms"
        tiles.append(
            (f"{pacing['missed']:,}", f"of {pacing['deadlines']:,} deadlines missed", late)
        )
    return tiles


def _missing(run: RunRecord) -> list[str]:
    if run.summary is None:
        return ["no summary: the run goes on, or its process was killed."]
    lines = [str(run.summary["error"])] if run.summary.get("error") else []
    if run.summary.get("faults"):
        lines.append(f"{run.summary['faults']} failures of instances, in faults.jsonl.")
    return lines


def _packs(recording: Recording) -> str:
    rows = [
        [name, "×".join(map(str, p.spec.shape)) or "1", p.spec.unit or "–", f"{len(p.time_ns):,}"]
        for name, p in recording.items()
    ]
    return page.table(["pack", "shape", "unit", "samples"], rows)
