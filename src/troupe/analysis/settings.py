"""Settings of several runs: what they share and where they differ."""

from __future__ import annotations

import json
from collections.abc import Collection, Mapping, Sequence
from typing import Any

from troupe.experiments.schema import Experiment

Flat = dict[str, str]


def flatten(experiment: Experiment) -> Flat:
    """Return every resolved setting by its dotted key, as text."""
    return dict(_leaves(experiment.resolved(), ""))


def differing(flats: Sequence[Flat], but: Collection[str] = ()) -> list[str]:
    """Return the keys whose values are not the same in all, except some, in order."""
    keys = dict.fromkeys(key for flat in flats for key in flat)
    return [k for k in keys if k not in but and len({flat.get(k) for flat in flats}) > 1]


def _leaves(value: Any, key: str) -> list[tuple[str, str]]:
    if isinstance(value, Mapping) and value:
        return [
            leaf
            for name, inner in value.items()
            for leaf in _leaves(inner, f"{key}.{name}" if key else str(name))
        ]
    return [(key, value if isinstance(value, str) else json.dumps(value, ensure_ascii=False))]
