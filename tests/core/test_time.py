from fractions import Fraction

import pytest
from hypothesis import given
from hypothesis import strategies as st

from troupe.core import UserError
from troupe.core.time import exact_duration, format_duration, parse_duration


@pytest.mark.parametrize(
    ("text", "duration_ns"),
    [("20ms", 20_000_000), ("0.5s", 500_000_000), ("2 min", 120 * 10**9), ("1e-3s", 10**6)],
)
def test_durations_are_whole_nanoseconds(text: str, duration_ns: int) -> None:
    assert parse_duration(text) == duration_ns


def test_a_quotient_stays_exact() -> None:
    assert exact_duration("1/240s") == Fraction(10**9, 240)
    assert parse_duration("1/240s") == 4_166_667


@pytest.mark.parametrize(
    "text", ["20", "ms", "20 parsecs", "-20ms", "1/0s", "", "20ms 3ms", "nans"]
)
def test_anything_else_is_refused_with_the_units(text: str) -> None:
    with pytest.raises(UserError, match=r"not a duration.*ns, us, ms, s, min, h"):
        parse_duration(text)


@given(st.integers(1, 10**18))
def test_a_formatted_duration_is_read_back(duration_ns: int) -> None:
    assert parse_duration(format_duration(duration_ns)) == duration_ns
