"""The runs of a sweep as trials of Ray Tune, one at a time."""

from __future__ import annotations

import os
import shutil
from collections.abc import Callable, Sequence
from contextlib import redirect_stdout
from io import StringIO
from pathlib import Path
from typing import Any

from ray import tune
from ray.util import get_node_ip_address

from troupe.core.errors import InterruptedRun, TroupeError
from troupe.experiments.load import build_experiment
from troupe.fleet.launch import run_training
from troupe.fleet.storage import shown


def run_trials(trials: Sequence[dict[str, Any]], out: Path, report: Callable[[str], None]) -> None:
    """Train each trial's experiment into its run directory.

    Args:
        trials: each with a ``name``, the ``path`` of its run and the ``description``.
        out: the sweep's directory.
        report: called with a line for each run that has ended.

    Raises:
        InterruptedRun: if a signal ended it.
        TroupeError: if runs failed; the others are kept.
    """
    os.environ["TUNE_DISABLE_SIGINT_HANDLER"] = "1"  # what was begun is resumed by us, not by Tune
    kept = out / ".tune"
    # on this machine, where the runs are to be written, and on no core: the workers have them
    resources = tune.PlacementGroupFactory([{f"node:{get_node_ip_address()}": 0.001}])
    tuner = tune.Tuner(
        tune.with_resources(_train, resources),
        param_space={"trial": tune.grid_search(list(trials))},
        tune_config=tune.TuneConfig(max_concurrent_trials=1),
        run_config=tune.RunConfig(
            storage_path=str(kept.absolute()), verbose=0, callbacks=[_Reporter(report)]
        ),
    )
    try:
        with redirect_stdout(StringIO()):  # Tune prints, whatever its verbosity
            results = tuner.fit()
    except KeyboardInterrupt:
        raise InterruptedRun(f"stopped; go on with: troupe train --resume {shown(out)}") from None
    failures = {}
    for i, trial in enumerate(trials):
        error = (results[i].metrics or {}).get("error") or results[i].error
        if error is not None:
            failures[trial["name"]] = str(error).strip().splitlines()[-1]
    if failures:
        name, reason = next(iter(failures.items()))
        raise TroupeError(f"{len(failures)} of {len(trials)} runs failed; first {name}: {reason}")
    shutil.rmtree(kept)


def _train(config: dict[str, Any]) -> dict[str, Any]:
    """Train one experiment, in a process of Ray Tune's."""
    trial = config["trial"]
    experiment, path = build_experiment(trial["description"]), Path(trial["path"])
    try:
        summary = run_training(experiment, path, resume=path.exists())
    except TroupeError as error:
        return {"error": str(error)}
    return {"steps": summary["steps"], "wall_s": summary["wall_s"]}


class _Reporter(tune.Callback):
    """Says when a run has ended."""

    def __init__(self, report: Callable[[str], None]) -> None:
        self._report = report

    def __getstate__(self) -> dict[str, Any]:
        """Return nothing: Tune keeps a copy of each callback, which is never used here."""
        return {}

    def on_trial_complete(self, iteration: int, trials: Any, trial: Any, **info: Any) -> None:
        name, result = trial.config["trial"]["name"], trial.last_result
        if "error" not in result:
            self._report(f"{name}: {result['steps']:,} steps in {result['wall_s']:.1f} s")
