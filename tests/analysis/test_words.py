import pytest

from troupe.analysis.measures import Spread
from troupe.analysis.words import count, duration, figure, joined, millimetres, percent, shown


@pytest.mark.parametrize(
    ("form", "value", "text"),
    [
        (count, 1_500_000, "1,500,000"),
        (figure, 54_123.4, "54,123"),
        (figure, 1.3749, "1.37"),
        (figure, 0.05123, "0.0512"),
        (figure, -47.02, "\u221247.0"),
        (figure, 0.0, "0"),
        (millimetres, 26.14, "26.1"),
        (millimetres, 1.371, "1.37"),
        (millimetres, 0.909, "0.91"),
        (millimetres, 0.0163, "0.016"),
        (millimetres, 5.0, "5"),
        (millimetres, 0.0, "0"),
        (percent, 1.0, "100 %"),
        (percent, 0.995, "99.5 %"),
        (percent, 0.9999, "99.9 %"),
        (duration, 0.851, "0.851 s"),
        (duration, 28.34, "28.3 s"),
        (duration, 312.0, "5 min 12 s"),
        (duration, 600.0, "10 min"),
        (duration, 7500.0, "2 h 5 min"),
    ],
)
def test_numbers_read_well(form, value, text):
    assert form(value) == text


def test_a_spread_shows_its_range_only_if_there_is_one():
    assert shown(None) == "–"
    assert shown(Spread(1.0, 1.0, 1.0, 3)) == "1.00"
    assert shown(Spread(2.0, 1.0, 4.0, 3), duration) == "2.00 s (1.00–4.00 s)"
    assert shown(Spread(200.0, 100.0, 400.0, 3), duration) == "3 min 20 s (100 s–6 min 40 s)"


def test_lists_read_as_sentences():
    assert joined(["a"]) == "a"
    assert joined(["a", "b", "c"]) == "a, b and c"
