"""Models of several learners relative to the same moments, so that weights can be averaged.

See docs/derivations.md, "Averages of models".
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

import numpy as np
import numpy.typing as npt

from troupe.learning.normalisation import NEVER_VARIED, TINY_VARIANCE

Model = Mapping[str, npt.NDArray[Any]]
Arrays = dict[str, npt.NDArray[Any]]

GROUPS = ("observations", "returns")
"""Whose moments a model may hold, as ``<group>.mean`` and so on."""

FIELDS = ("mean", "variance", "num_samples")


def aligned(models: Sequence[Model]) -> list[Arrays]:
    """Return models relative to moments that lie amid those of all.

    The moments are medians, so that a minority of senders of garbage moves them no farther than
    honest learners differ. Learners that have seen nothing yet, and moments that are not finite,
    have no part in them. The networks compute what they computed before.

    Args:
        models: as a learner's `parameters` returns them. Each ``<network>.0.weight``, (..., in,
            out), sees the observations and then perhaps more; with ``returns.*``, ``critic`` says
            what these are.

    Returns:
        The models in their order. What garbage becomes need not be finite.
    """
    groups = [group for group in GROUPS if f"{group}.mean" in models[0]]
    reference = {name: v for group in groups for name, v in _centre(models, group).items()}
    return [relative_to(model, reference) for model in models]


def relative_to(model: Model, reference: Model) -> Arrays:
    """Return a model relative to the moments of `reference`, computing the same.

    Weights with moments that make no sense become numbers that are not finite.
    """
    parameters = {name: np.array(values) for name, values in model.items()}
    moments = tuple(f"{group}." for group in GROUPS)
    taken = {k: np.array(v) for k, v in reference.items() if k.startswith(moments)}
    with np.errstate(all="ignore"):
        _take_up_observations(parameters, reference)
        if "returns.mean" in parameters:
            _take_up_returns(parameters, reference)
        return {k: v.astype(model[k].dtype) for k, v in {**parameters, **taken}.items()}


def _centre(models: Sequence[Model], group: str) -> Arrays:
    """Return the medians of the moments, with the spread of the means as part of the variance."""
    usable = [found for model in models if _is_usable(found := _moments(model, group))]
    if not usable:
        usable = [_moments(models[0], group)]
    means, variances, counts = (np.stack(values) for values in zip(*usable, strict=True))
    # what never varied for a learner says nothing of it
    informative = np.where(variances > NEVER_VARIED**2, 1.0, np.nan)
    informative[:, np.isnan(informative).all(axis=0)] = 1.0
    mean = np.nanmedian(means * informative, axis=0)
    spread = variances + (means - mean) ** 2
    variance = np.nanmedian(spread * informative, axis=0)
    centre = (mean, variance, np.median(counts))
    return {f"{group}.{name}": value for name, value in zip(FIELDS, centre, strict=True)}


def _moments(model: Model, group: str) -> tuple[npt.NDArray[np.float64], ...]:
    return tuple(np.asarray(model[f"{group}.{name}"], np.float64) for name in FIELDS)


def _is_usable(moments: tuple[npt.NDArray[np.float64], ...]) -> bool:
    _, variance, num_samples = moments
    finite = all(np.isfinite(values).all() for values in moments)
    return bool(finite and (variance >= 0).all() and num_samples > 0)


def _take_up_observations(parameters: Arrays, reference: Model) -> None:
    """Let the first layers take up other moments of the observations."""
    mean, variance, num_samples = _moments(parameters, "observations")
    if num_samples == 0:
        return
    new_mean, new_variance, _ = _moments(reference, "observations")
    old_scale, new_scale = _informative_scale(variance), _informative_scale(new_variance)
    ratio = np.divide(old_scale, new_scale, out=np.ones_like(old_scale), where=new_scale > 0)
    shift = (new_mean - mean) * old_scale
    for weight in [name for name in parameters if name.endswith(".0.weight")]:
        bias = weight.removesuffix("weight") + "bias"
        seen, beyond = np.split(parameters[weight], [len(shift)], axis=-2)
        parameters[bias] = parameters[bias] + shift @ seen
        parameters[weight] = np.concatenate([seen * ratio[:, None], beyond], axis=-2)


def _take_up_returns(parameters: Arrays, reference: Model) -> None:
    """Let the critic's last layer take up other moments of the returns."""
    mean, variance, _ = _moments(parameters, "returns")
    new_mean, new_variance, _ = _moments(reference, "returns")
    new_scale = 1 / np.sqrt(new_variance + TINY_VARIANCE)
    ratio = new_scale * np.sqrt(variance + TINY_VARIANCE)
    last = sum(k.startswith("critic.") and k.endswith(".weight") for k in parameters) - 1
    weight, bias = f"critic.{last}.weight", f"critic.{last}.bias"
    parameters[weight] = parameters[weight] * ratio
    parameters[bias] = parameters[bias] * ratio + (mean - new_mean) * new_scale


def _informative_scale(variance: npt.NDArray[np.float64]) -> npt.NDArray[np.float64]:
    scale = 1 / np.sqrt(np.maximum(variance, 0) + TINY_VARIANCE)
    return np.where(variance > NEVER_VARIED**2, scale, 0.0)
