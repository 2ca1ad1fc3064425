import pytest

from troupe.core import UserError, plugins
from troupe.robots import Robot


def test_built_in_types_are_found_by_name() -> None:
    assert plugins.names("troupe.robots") == ("iiwa", "mara", "scara")
    assert isinstance(plugins.load("troupe.robots", "scara"), Robot)


def test_unknown_types_are_refused_with_the_valid_ones() -> None:
    with pytest.raises(UserError, match=r"arm: unknown robot 'skara'. Did you mean 'scara'\?"):
        plugins.load("troupe.robots", "skara", "arm")
