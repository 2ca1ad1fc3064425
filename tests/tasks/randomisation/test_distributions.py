import numpy as np
import pytest
from pydantic import TypeAdapter, ValidationError

from troupe.core.seeding import Streams
from troupe.tasks.randomisation.distributions import Distribution

PARSE = TypeAdapter(Distribution).validate_python


def draw(shape: tuple[int, ...] = (20_000,), **settings: object) -> np.ndarray:
    return PARSE(settings).draw(Streams(3).generator("test"), shape)


def test_a_uniform_draw_lies_anywhere_between_low_and_high() -> None:
    drawn = draw(type="uniform", low=0.8, high=1.2)
    np.testing.assert_allclose(
        np.quantile(drawn, [0, 0.25, 0.75, 1]), [0.8, 0.9, 1.1, 1.2], atol=0.01
    )


def test_a_log_uniform_draw_is_uniform_in_its_logarithm() -> None:
    drawn = draw(type="log-uniform", low=0.01, high=100)
    np.testing.assert_allclose(np.quantile(np.log10(drawn), [0, 0.5, 1]), [-2, 0, 2], atol=0.07)
    assert drawn.min() >= 0.01
    assert drawn.max() <= 100


def test_a_gaussian_draw_has_the_mean_and_deviation_of_each_column() -> None:
    drawn = draw((20_000, 2), type="gaussian", mean=[1, -1], deviation=[0.1, 2])
    np.testing.assert_allclose(drawn.mean(axis=0), [1, -1], atol=0.05)
    np.testing.assert_allclose(drawn.std(axis=0), [0.1, 2], rtol=0.02)


def test_a_choice_takes_numbers_or_whole_rows() -> None:
    assert set(draw(type="choice", values=[1, 5])) == {1, 5}
    rows = {tuple(row) for row in draw((500, 3), type="choice", values=[[1, 0, 0], [0, 0, 1]])}
    assert rows == {(1, 0, 0), (0, 0, 1)}


@pytest.mark.parametrize(
    ("settings", "message"),
    [
        ({"type": "log-uniform", "low": 0, "high": 1}, "numbers above 0: 0"),
        ({"type": "uniform", "low": 2, "high": 1}, "low: 2.0 is more than high, 1.0"),
        ({"type": "uniform", "low": [1, 2], "high": [1, 2, 3]}, "low has 2 numbers, high 3"),
        ({"type": "gaussian", "deviation": -1}, "deviation: at least 0, not -1"),
        ({"type": "choice", "values": [1, [2, 3]]}, "either numbers, or lists of the same length"),
        ({"type": "normal"}, "unknown distribution 'normal'.* Valid: choice, gaussian"),
        ({"low": 1}, "Valid types: choice, gaussian, log-uniform, uniform"),
        ({"type": "uniform", "low": float("nan"), "high": 1}, "finite number"),
    ],
)
def test_what_is_no_distribution_is_told(settings: dict[str, object], message: str) -> None:
    with pytest.raises(ValidationError, match=message):
        PARSE(settings)
