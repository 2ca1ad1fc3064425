import pytest

from troupe.core import UserError, plugins
from troupe.core.settings import validated
from troupe.learning.merging import MergeSettings
from troupe.learning.merging.conformance import CHECKS, Case, check_merge

BEYOND = "a step with momentum goes beyond the average"
NOT_CONVEX = {"check_within_range": BEYOND, "check_tolerated_garbage": BEYOND}
CASES = {
    "average": ({}, 0, {}),
    "all-reduce": ({}, 0, {}),
    "parameter-server": ({}, 0, {}),
    "federated": ({"step_size": 3.0}, 0, NOT_CONVEX),
    "median": ({}, 3, {}),
    "trimmed-mean": ({"faulty": 2}, 2, {}),
    "krum": ({"faulty": 2}, 2, {}),
    "gossip": ({}, 0, {}),
}


def settings(name: str, **values: object) -> MergeSettings:
    cls = plugins.load("troupe.merges", name)
    return validated(cls, {"type": name, **values}, "fleet.merge")


@pytest.mark.parametrize("check", CHECKS, ids=lambda check: check.__name__)
@pytest.mark.parametrize("name", [*CASES, "multi-krum"])
def test_merge_conforms(name, check):
    if name == "multi-krum":
        found, tolerates, exceptions = settings("krum", faulty=2, selected=4), 2, {}
    else:
        values, tolerates, exceptions = CASES[name]
        found = settings(name, **values)
    check_merge(Case(lambda: found.build(seed=0), tolerates, exceptions), [check])


def test_every_merge_is_checked():
    assert set(plugins.names("troupe.merges")) == set(CASES)


@pytest.mark.parametrize(
    ("name", "values", "least"),
    [
        ("average", {}, 1),
        ("gossip", {}, 2),
        ("median", {}, 3),
        ("trimmed-mean", {"faulty": 2}, 5),
        ("krum", {"faulty": 2}, 7),
        ("krum", {"faulty": 1, "selected": 6}, 7),
    ],
)
def test_too_few_learners_are_refused(name, values, least):
    found = settings(name, **values)
    found.check(least)
    with pytest.raises(UserError, match=rf"fleet\.merge: '{name}'.* at least {least} learners, "):
        found.check(least - 1)


def test_a_merge_that_does_not_exist_is_refused():
    with pytest.raises(UserError, match=r"fleet\.merge: unknown merge 'avg'.*Valid: all-reduce"):
        plugins.load("troupe.merges", "avg", "fleet.merge")


def test_gradients_are_exchanged_at_each_update():
    with pytest.raises(UserError, match=r"fleet\.merge\.every: .*less than or equal to 1, not 5"):
        settings("all-reduce", every=5)
    with pytest.raises(UserError, match=r"every: 5 updates alone .* valid: 1, or synchronous"):
        settings("parameter-server", every=5)
    assert settings("parameter-server", every=5, synchronous=False).every == 5
