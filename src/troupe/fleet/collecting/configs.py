"""The experiments of a store's episodes, kept beside them so that any can be run again."""

from __future__ import annotations

import hashlib
import json

from troupe.core.errors import UserError
from troupe.episodes.store import Store
from troupe.episodes.store.manifest import experiment_file
from troupe.experiments.load import build_experiment
from troupe.experiments.schema import Experiment


def config_of(experiment: Experiment) -> tuple[str, bytes]:
    """Return the name under which an experiment is kept, and its text.

    Who steps the instances changes no episode, so ``fleet`` is left out.
    """
    description = {k: v for k, v in experiment.resolved().items() if k != "fleet"}
    text = json.dumps(description, sort_keys=True, indent=1).encode()
    return hashlib.blake2b(text, digest_size=8).hexdigest(), text


def keep_config(store: Store, experiment: Experiment) -> None:
    """Keep an experiment in a store, if it is not there yet."""
    name, text = config_of(experiment)
    store.files.put_new(experiment_file(name), text)


def read_config(store: Store, name: str) -> Experiment:
    """Return an experiment that a store keeps.

    Raises:
        UserError: if it keeps none of that name.
    """
    try:
        text = store.files.read(experiment_file(name))
    except FileNotFoundError as error:
        raise UserError(f"store '{store.url}' keeps no experiment '{name}'.") from error
    return build_experiment(json.loads(text))
