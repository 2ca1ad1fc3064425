"""What a user writes about a randomisation."""

from __future__ import annotations

from typing import Annotated, Literal

import numpy as np
from pydantic import BeforeValidator, Field, model_validator

from troupe.core.settings import Duration, Settings, by_type
from troupe.tasks.randomisation.distributions import Distribution, Numbers

ACTION, OBSERVATION = "action", "observation"
"""What can be late or noisy beside datapacks."""

Operation = Literal["absolute", "add", "scale"]
Mode = Literal["startup", "reset", "interval"]
Steps = Annotated[int, Field(ge=0, le=1000)]


class PackSettings(Settings):
    """A datapack whose values are drawn.

    Attributes:
        pack: ``engine.pack`` that can be written.
        distribution: from which is drawn.
        operation: whether the draw is the value (``absolute``), is added to the nominal one
            (``add``) or multiplies it (``scale``). Nominal is what the episode begins with without
            the randomisation, so that nothing adds up.
        mode: when is drawn: once for an instance and all of its episodes (``startup``), at the
            beginning of each episode (``reset``), or then and again and again (``interval``).
        every: simulated time between two draws of an interval, a multiple of the loop's step.
        index: which elements: a number or a name of the first axis, a list of them, or subscripts
            as NumPy has them, e.g. ``"..., 0"``; default: all.
        shared: whether all of them share one draw; or the axes, counted from 0, along which they
            do.
    """

    type: Literal["pack"] = "pack"
    pack: str
    distribution: Distribution
    operation: Operation = "absolute"
    mode: Mode = "reset"
    every: Duration | None = None
    index: int | str | Annotated[tuple[int | str, ...], Field(min_length=1)] | None = None
    shared: bool | Annotated[tuple[int, ...], Field(min_length=1)] = False

    @model_validator(mode="after")
    def _check_every(self) -> PackSettings:
        if self.mode == "interval" and self.every is None:
            raise ValueError("every: mode 'interval' needs the time between two draws")
        if self.mode != "interval" and self.every is not None:
            raise ValueError(f"every: it is of mode 'interval', not '{self.mode}'")
        return self


class DelaySettings(Settings):
    """A delay in whole steps of the loop, drawn for each episode.

    Attributes:
        of: ``action``, ``observation`` or a datapack.
        side: of a datapack: what the task observes of it is late (``sensor``), or what the task
            writes to it (``command``).
        steps: the delay, or the least and the greatest, all alike between.
    """

    type: Literal["delay"] = "delay"
    of: str
    side: Literal["sensor", "command"] = "sensor"
    steps: Steps | tuple[Steps, Steps]

    @property
    def range(self) -> tuple[int, int]:
        """The least and the greatest delay, steps."""
        return (self.steps, self.steps) if isinstance(self.steps, int) else self.steps

    @model_validator(mode="after")
    def _check_side(self) -> DelaySettings:
        if self.side == "command" and self.of in (ACTION, OBSERVATION):
            raise ValueError(f"side: 'command' is of a datapack that is written, not '{self.of}'")
        return self

    @model_validator(mode="after")
    def _check_order(self) -> DelaySettings:
        least, most = self.range
        if least > most:
            raise ValueError(f"steps: {least} is more than {most}; write the lesser first")
        return self


class NoiseSettings(Settings):
    """Noise of a sensor: value + bias + deviation · normal, within the bounds of the value.

    Attributes:
        of: ``observation``, or a datapack that is observed or recorded.
        deviation: standard deviation of what is drawn at each step, in the value's unit.
        bias: standard deviation of what is drawn for each episode and stays.
        dropout: probability of each element, or each pixel of an image, to read 0 at a step.
        shared: whether all elements share one bias.
    """

    type: Literal["noise"] = "noise"
    of: str
    deviation: Numbers = 0.0
    bias: Numbers = 0.0
    dropout: float = Field(0.0, ge=0, le=1)
    shared: bool = False

    @model_validator(mode="after")
    def _check_sizes(self) -> NoiseSettings:
        for key in ("deviation", "bias"):
            if np.min(getattr(self, key)) < 0:
                raise ValueError(f"{key}: at least 0, not {getattr(self, key)}")
        if not (np.any(self.deviation) or np.any(self.bias) or self.dropout):
            raise ValueError("give at least one of 'deviation', 'bias' and 'dropout'")
        return self


KINDS: dict[str, type[Settings]] = {
    "pack": PackSettings,
    "delay": DelaySettings,
    "noise": NoiseSettings,
}


Randomisation = Annotated[
    PackSettings | DelaySettings | NoiseSettings, BeforeValidator(by_type(KINDS, default="pack"))
]
"""One entry of the section ``randomise``."""

Name = Annotated[str, Field(pattern=r"^[\w-]+$")]
