"""What a user writes under ``learner.weighting``: one weighting, or a list of them."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Annotated, Any

from pydantic import (
    BeforeValidator,
    PlainSerializer,
    SerializationInfo,
    SerializeAsAny,
    TypeAdapter,
    ValidationError,
    ValidationInfo,
)

from troupe.core import UserError, plugins
from troupe.core.errors import unknown
from troupe.learning.weighting.base import Weighting, WeightingSettings
from troupe.learning.weighting.composition import MAX_WEIGHT, Composition
from troupe.learning.weighting.uniform import Uniform, UniformSettings

GROUP = "troupe.weightings"


def build_weighting(
    settings: Sequence[WeightingSettings], seed: int = 0, maximum: float = MAX_WEIGHT
) -> Weighting:
    """Return a new weighting, the product of those described.

    Args:
        settings: at least one. If all are uniform, so is the result, a `Uniform`.
        seed: the root seed.
        maximum: what a step counts at most.
    """
    others = [one for one in settings if not isinstance(one, UniformSettings)]
    return Composition([one.build(seed) for one in others], maximum) if others else Uniform()


def check_fit(settings: Sequence[WeightingSettings], learner: str, has_priorities: bool) -> None:
    """Check, in a validator of a learner's settings, that it can use its weightings.

    Args:
        settings: of the weightings.
        learner: its type name.
        has_priorities: whether it tells the priorities of steps.

    Raises:
        ValueError: that names the weighting that does not fit and those that do.
    """
    wrong = [one.type for one in settings if one.needs_priority and not has_priorities]
    if wrong:
        fitting = [n for n in plugins.names(GROUP) if not plugins.load(GROUP, n).needs_priority]
        raise ValueError(
            f"weighting '{wrong[0]}' needs the priorities of steps, which learner '{learner}' "
            f"does not have. Valid: {', '.join(fitting)}"
        )


def _one(value: Any, info: ValidationInfo) -> Any:
    """Return the settings of one weighting, of the class that its type names."""
    if isinstance(value, WeightingSettings):
        return value
    if not isinstance(value, Mapping) or "type" not in value:
        names = ", ".join(plugins.names(GROUP))
        raise ValueError(f"give a mapping with a 'type', or a list of them. Valid types: {names}")
    try:
        cls = plugins.load(GROUP, str(value["type"]))
    except UserError as error:
        raise ValueError(str(error)) from error
    try:
        return cls.model_validate(value, context=info.context)
    except ValidationError as error:
        for detail in error.errors():
            if detail["type"] == "extra_forbidden":
                # the class that knows the valid keys is not to be seen from outside
                key = str(detail["loc"][-1])
                raise ValueError(str(unknown("key", key, cls.model_fields))) from error
        raise


_SEVERAL: TypeAdapter[list[Any]] = TypeAdapter(list[Annotated[Any, BeforeValidator(_one)]])


def _all(value: Any, info: ValidationInfo) -> Any:
    if not isinstance(value, list | tuple):
        return (_one(value, info),)
    if not value:
        raise ValueError("an empty list: give at least one weighting, e.g. {type: uniform}")
    return tuple(_SEVERAL.validate_python(list(value), context=info.context))


def _written(settings: tuple[WeightingSettings, ...], info: SerializationInfo) -> Any:
    written = [one.model_dump(mode=info.mode) for one in settings]
    return written[0] if len(written) == 1 else written


WeightingChoice = Annotated[
    tuple[SerializeAsAny[WeightingSettings], ...],
    BeforeValidator(_all),
    PlainSerializer(_written),
]
"""Weightings of the group ``troupe.weightings``: a mapping with a ``type``, or a list of them."""
