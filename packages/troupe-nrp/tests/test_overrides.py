import pytest
from troupe.core.errors import UserError

from troupe_nrp.overrides import apply_override


@pytest.mark.parametrize(
    ("override", "changes"),
    [
        ("Name=new", {"Name": "new"}),
        ("Name=new,Timeout=2", {"Name": "new", "Timeout": 2}),
        ("Loop.Mode=x,List.1=3", {"Loop": {"Mode": "x"}, "List": [1, 3]}),
        ("Name=one, two", {"Name": "one, two"}),
        ('List=["A=1,B=2","C=3"]', {"List": ["A=1,B=2", "C=3"]}),
        ("List=[4,5],Name=new", {"List": [4, 5], "Name": "new"}),
        ("Loop.New=true", {"Loop": {"Mode": "m", "New": True}}),
    ],
)
def test_an_override_changes_one_or_several_values(override, changes) -> None:
    values = {"Name": "old", "Timeout": 1, "Loop": {"Mode": "m"}, "List": [1, 2]}
    expected = {**values, **changes}
    apply_override(values, override)
    assert values == expected


@pytest.mark.parametrize(
    ("override", "message"),
    [
        ("Name", "write Key=value"),
        ("=2", "write Key=value"),
        ("List.x=2", "unknown entry 'x'"),
        ("Name.Sub=2", "nothing below 'Name'"),
        ("Timeout=2,List.7=2", "unknown entry '7'. Valid: 0, 1"),
    ],
)
def test_a_wrong_override_is_named(override, message) -> None:
    with pytest.raises(UserError, match=message):
        apply_override({"Name": "old", "List": [1, 2]}, override)
