from typing import Any, ClassVar

import pytest
from pydantic import model_validator

from troupe.core.errors import UserError
from troupe.core.settings import Settings, validated
from troupe.learning.weighting import (
    UniformSettings,
    WeightingChoice,
    WeightingSettings,
    check_fit,
)
from troupe.learning.weighting.lag_decay import LagDecaySettings
from troupe.learning.weighting.priority import PrioritySettings


class Learner(Settings):
    """As learners have it."""

    has_priorities: ClassVar[bool] = True

    type: str = "some"
    weighting: WeightingChoice = (UniformSettings(),)

    @model_validator(mode="after")
    def _check_weighting(self) -> "Learner":
        check_fit(self.weighting, self.type, self.has_priorities)
        return self


class LearnerWithoutPriorities(Learner):
    has_priorities: ClassVar[bool] = False


def learner(weighting: Any, cls: type[Learner] = Learner) -> Learner:
    return validated(cls, {"weighting": weighting}, "learner")


def test_uniform_is_the_default() -> None:
    assert Learner().weighting == (UniformSettings(),)


def test_one_weighting_or_several() -> None:
    decay = {"type": "lag-decay", "half_life": 2}
    assert learner(decay).weighting == (LagDecaySettings(half_life=2),)
    both = learner([decay, {"type": "priority"}]).weighting
    assert both == (LagDecaySettings(half_life=2), PrioritySettings())
    assert learner(LagDecaySettings(half_life=2)) == learner(decay)


@pytest.mark.parametrize(
    "weighting", [{"type": "lag-decay", "half_life": 2}, [{"type": "priority"}, {"type": "return"}]]
)
def test_what_is_written_out_can_be_read_again(weighting: Any) -> None:
    written = learner(weighting).model_dump(mode="json")
    assert isinstance(written["weighting"], type(weighting))
    assert learner(written["weighting"]) == learner(weighting)


def test_settings_can_be_a_key() -> None:
    # compiled programs are kept by the settings that they were made for
    assert len({learner({"type": "priority"}), learner({"type": "priority"})}) == 1


@pytest.mark.parametrize(
    ("weighting", "message"),
    [
        (
            {"type": "lag-decai"},
            (
                r"^learner\.weighting: unknown weighting 'lag-decai'\. Did you mean 'lag-decay'\? "
                r"Valid: lag-decay, novelty, priority, return, source-balance, uniform\.$"
            ),
        ),
        (
            [{"type": "uniform"}, {"type": "lag"}],
            r"^learner\.weighting\.1: unknown weighting 'lag'.*Valid: lag-decay,",
        ),
        (
            {"type": "lag-decay", "halflife": 3},
            (
                r"^learner\.weighting: unknown key 'halflife'\. Did you mean 'half_life'\? "
                r"Valid: half_life, type\.$"
            ),
        ),
        (
            {"type": "lag-decay", "half_life": -1},
            r"^learner\.weighting\.half_life: .*greater than 0, not -1\.$",
        ),
        (
            [{"type": "priority"}, {"type": "return", "temperature": "hot"}],
            r"^learner\.weighting\.1\.temperature: .*not 'hot'\.$",
        ),
        ("uniform", r"^learner\.weighting: give a mapping with a 'type'.*Valid types: lag-decay,"),
        ([3], r"^learner\.weighting\.0: give a mapping with a 'type'"),
        ({"half_life": 3}, r"^learner\.weighting: give a mapping with a 'type'"),
        ([], r"^learner\.weighting: an empty list"),
        (None, r"^learner\.weighting: give a mapping with a 'type'"),
    ],
)
def test_what_is_wrong_is_named_with_its_place(weighting: Any, message: str) -> None:
    with pytest.raises(UserError, match=message):
        learner(weighting)


def test_priorities_fit_only_learners_that_have_them() -> None:
    message = (
        r"^learner: weighting 'priority' needs the priorities of steps, which learner 'some' does "
        r"not have\. Valid: lag-decay, novelty, return, source-balance, uniform\.$"
    )
    with pytest.raises(UserError, match=message):
        learner([{"type": "lag-decay"}, {"type": "priority"}], LearnerWithoutPriorities)
    assert learner({"type": "lag-decay"}, LearnerWithoutPriorities)


def test_a_users_own_settings_are_taken() -> None:
    class Mine(WeightingSettings):
        type: str = "mine"
        share: float = 0.5

    assert learner([Mine(share=0.1)]).model_dump()["weighting"] == {"type": "mine", "share": 0.1}
