"""What merges share: which models can be used, and means and distances of those."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import replace
from typing import Any

import numpy as np
import numpy.typing as npt

from troupe.learning.merging.base import Model, Parameters, TooFewModels

Array64 = npt.NDArray[np.float64]

MOMENTS = ("mean", "variance", "num_samples")
"""Last parts of the names of what normalisers have counted. They are no weights: they may be
averaged, but a step beyond the average could make a variance negative."""


def is_moment(name: str) -> bool:
    """Return whether an array holds what a normaliser has counted."""
    return name.replace("/", ".").rpartition(".")[2] in MOMENTS


def usable(own: Model, peers: Sequence[Model]) -> tuple[list[Model], dict[int, str]]:
    """Return the models to merge, and by the other peers' numbers what is wrong with theirs.

    The own model is among those to merge if it has learned anything.
    """
    found = [own] if own.steps > 0 else []
    ignored = {}
    for model in peers:
        fault = fault_of(model.parameters, own.parameters)
        if fault:
            ignored[model.peer] = fault
        else:
            found.append(replace(model, parameters=_typed(model.parameters, own.parameters)))
    return found, ignored


def _typed(parameters: Parameters, expected: Parameters) -> Parameters:
    """Return arrays in the types of others."""
    return {
        name: np.asarray(parameters[name]).astype(np.asarray(values).dtype, copy=False)
        for name, values in expected.items()
    }


def fault_of(parameters: Any, expected: Parameters) -> str:
    """Return what is wrong with a model, in words; nothing if it can be used."""
    if not isinstance(parameters, Mapping):
        return f"is no dictionary of arrays but a {type(parameters).__name__}"
    for name in sorted(set(parameters) | set(expected), key=str):
        if name not in parameters:
            return f"lacks '{name}'"
        if name not in expected:
            return f"has '{name}', which the model does not have"
        fault = _fault_of_array(np.asarray(parameters[name]), np.asarray(expected[name]))
        if fault:
            return f"'{name}' {fault}"
    return ""


def _fault_of_array(values: npt.NDArray[Any], expected: npt.NDArray[Any]) -> str:
    if values.shape != expected.shape:
        return f"has the shape {values.shape}, not {expected.shape}"
    if values.dtype.kind not in "fiub":
        return f"holds no numbers but {values.dtype}"
    # what is finite by itself may be too large for the model
    with np.errstate(over="ignore", invalid="ignore"):
        wrong = np.count_nonzero(~np.isfinite(values.astype(expected.dtype)))
    return f"has {wrong} of {values.size} values that are not finite" if wrong else ""


def need(models: Sequence[Model], least: int, what: str) -> None:
    """Check that there are enough models to merge.

    Raises:
        TooFewModels: if there are not.
    """
    if len(models) < least:
        raise TooFewModels(
            f"{what} needs {least} models that can be used; there are {len(models)}."
        )


def combine(
    models: Sequence[Model], of_stacked: Callable[[Array64], Array64]
) -> dict[str, npt.NDArray[Any]]:
    """Return a model of what a function makes of each array, stacked over the models.

    Args:
        models: M of them, sound, in the order of whose types the result is.
        of_stacked: from (M, ...) to (...).
    """
    merged = {}
    for name, first in models[0].parameters.items():
        stacked = np.stack([np.asarray(m.parameters[name], np.float64) for m in models])
        merged[name] = as_type(of_stacked(stacked), np.asarray(first).dtype)
    return merged


def as_type(values: Array64, dtype: np.dtype[Any]) -> npt.NDArray[Any]:
    """Return values in another type, rounded if it has whole numbers only."""
    return np.asarray(np.rint(values) if dtype.kind in "iu" else values).astype(dtype)


def mean(models: Sequence[Model]) -> dict[str, npt.NDArray[Any]]:
    """Return the mean of models, weighted by the steps that each has learned from.

    Where none has learned from any, all count alike.
    """
    steps = np.array([model.steps for model in models], np.float64)
    share = steps / steps.sum() if steps.any() else np.full(len(models), 1.0 / len(models))
    return combine(models, lambda stacked: weighted(stacked, share))


def weighted(stacked: Array64, share: Array64) -> Array64:
    """Return the sum over M of shares, (M,) with sum 1, of arrays, (M, ...); exact if equal."""
    return np.asarray(stacked[0] + np.tensordot(share, stacked - stacked[0], axes=1))


def rows(models: Sequence[Parameters]) -> Array64:
    """Return models as rows of numbers, (M, D), in which each array counts alike.

    Each array is divided by the median over the models of its norm, so that one of large numbers,
    such as a count of samples, does not hide what another differs by.
    """
    columns = []
    with np.errstate(over="ignore"):
        for name in models[0]:
            flat = np.stack([np.asarray(m[name], np.float64).ravel() for m in models])
            scale = float(np.median(np.linalg.norm(flat, axis=1)))
            columns.append(flat / scale if scale > 0 else flat)
    return np.concatenate(columns, axis=1)
