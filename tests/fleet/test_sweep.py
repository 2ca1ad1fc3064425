import pytest

from troupe.core import UserError
from troupe.fleet.sweep import combinations


def test_a_description_without_a_grid_is_one():
    assert list(combinations({"a": 1, "b": {"c": 2}}).values()) == [{"a": 1, "b": {"c": 2}}]


def test_every_combination_has_a_name_that_tells_it():
    found = combinations(
        {"seed": {"grid_search": [0, 1]}, "fleet": {"workers": {"grid_search": [2, 4]}, "x": 1}}
    )
    assert list(found) == [
        "seed=0,workers=2",
        "seed=0,workers=4",
        "seed=1,workers=2",
        "seed=1,workers=4",
    ]
    assert found["seed=1,workers=2"] == {"seed": 1, "fleet": {"workers": 2, "x": 1}}


@pytest.mark.parametrize("values", [3, [], "1,2"])
def test_a_grid_must_be_a_list(values):
    with pytest.raises(UserError, match=r"fleet\.workers\.grid_search: give a list of values"):
        combinations({"fleet": {"workers": {"grid_search": values}}})
