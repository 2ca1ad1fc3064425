import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from hypothesis.extra.numpy import arrays

from troupe.learning.merging import Model, TooFewModels
from troupe.learning.merging.average import Average
from troupe.learning.merging.conformance import garbage, models
from troupe.learning.merging.divergence import divergence, outlying
from troupe.learning.merging.federated import Federated
from troupe.learning.merging.gossip import Gossip
from troupe.learning.merging.krum import Krum, scores
from troupe.learning.merging.median import Median
from troupe.learning.merging.models import rows
from troupe.learning.merging.trimmed_mean import TrimmedMean

COMMON = Model(9, {"x": np.array([0.0, 0.0])})


def sent(*values: tuple[float, float], steps: tuple[int, ...] = ()) -> list[Model]:
    counts = steps or (1,) * len(values)
    return [
        Model(i, {"x": np.array(v)}, n) for i, (v, n) in enumerate(zip(values, counts, strict=True))
    ]


def test_average_is_weighted_by_steps():
    merged = Average().merge(COMMON, sent((1, 0), (5, 8), steps=(300, 100)), 0)
    np.testing.assert_array_equal(merged.parameters["x"], [2, 2])


def test_a_common_model_has_no_part_in_the_average_but_a_learned_own_one_has():
    merged = Average().merge(Model(9, {"x": np.array([9.0, 9.0])}, 1), sent((1, 1), (2, 2)), 0)
    np.testing.assert_array_equal(merged.parameters["x"], [4, 4])


def test_average_of_nothing_that_can_be_used_is_an_error():
    with pytest.raises(TooFewModels, match="average needs 1 models that can be used; there are 0"):
        Average().merge(COMMON, sent((np.nan, 0)), 0)


def test_counts_are_rounded():
    given = [Model(i, {"n": np.asarray(n)}, 1) for i, n in enumerate((1, 2))]
    merged = Average().merge(Model(-1, {"n": np.asarray(0)}), given, 0).parameters["n"]
    assert (merged, merged.dtype) == (2, np.int64)


def test_federated_by_hand():
    federated = Federated(step_size=0.5, momentum=0.9)
    # x = 0, y = (1, 2): g = (-1, -2), m = g, x' = 0 - 0.5 (g + 0.9 m) = (0.95, 1.9)
    first = federated.merge(COMMON, sent((0, 2), (2, 2)), 0).parameters
    np.testing.assert_allclose(first["x"], [0.95, 1.9])
    # y = x' - (0.1, 0): g = (0.1, 0), m = 0.9 (-1, -2) + g = (-0.8, -1.8)
    # x'' = x' - 0.5 (g + 0.9 m) = x' - 0.5 (-0.62, -1.62) = (1.26, 2.71)
    second = federated.merge(Model(-1, first), sent((0.85, 1.9)), 1).parameters
    np.testing.assert_allclose(second["x"], [1.26, 2.71])


def test_federated_without_momentum_is_the_average():
    given = models()
    own = Model(-1, given[0].parameters)
    federated = Federated(step_size=1.0, momentum=0.0).merge(own, given[1:], 0)
    average = Average().merge(own, given[1:], 0)
    for name, values in average.parameters.items():
        np.testing.assert_allclose(federated.parameters[name], values, rtol=1e-6)


def test_federated_takes_no_step_beyond_the_average_of_a_variance():
    own = Model(-1, {"observations.variance": np.array([9.0])})
    near_zero = [Model(0, {"observations.variance": np.array([0.1])}, 1)]
    merged = Federated(step_size=1.0, momentum=0.9).merge(own, near_zero, 0)
    np.testing.assert_allclose(merged.parameters["observations.variance"], [0.1])


def test_median_by_hand():
    merged = Median().merge(COMMON, sent((1, 9), (2, 7), (99, -5)), 0)
    np.testing.assert_array_equal(merged.parameters["x"], [2, 7])


def test_trimmed_mean_by_hand():
    merged = TrimmedMean(1).merge(COMMON, sent((1, 4), (2, -99), (99, 6), (4, 5)), 0)
    np.testing.assert_array_equal(merged.parameters["x"], [3, 4.5])


def test_a_model_that_cannot_be_used_counts_as_a_faulty_one():
    merged = TrimmedMean(1).merge(COMMON, sent((1, 1), (2, 2), (np.inf, 0)), 0)
    np.testing.assert_array_equal(merged.parameters["x"], [1.5, 1.5])
    assert merged.ignored == {2: "'x' has 1 of 2 values that are not finite"}


def test_trimmed_mean_of_too_few_is_an_error():
    with pytest.raises(TooFewModels, match="trimmed-mean with 1 more faulty peers needs 3 models"):
        TrimmedMean(1).merge(COMMON, sent((1, 1), (2, 2)), 0)


def test_scores_of_krum_by_hand():
    # n = 5, f = 1: each sums the squared distances to its 2 nearest others
    flat = np.array([[0.0], [1.0], [3.0], [4.0], [100.0]])
    np.testing.assert_array_equal(scores(flat, faulty=1), [1 + 9, 1 + 4, 1 + 4, 1 + 9, 9216 + 9409])


def test_krum_selects_one_model_and_multi_krum_a_mean():
    values = [(0, 0), (1, 0), (3, 0), (4, 0), (100, 0)]
    krum = Krum(faulty=1, selected=1).merge(COMMON, sent(*values), 0)
    np.testing.assert_array_equal(krum.parameters["x"], [1, 0])
    multi = Krum(faulty=1, selected=2).merge(COMMON, sent(*values), 0)
    np.testing.assert_array_equal(multi.parameters["x"], [2, 0])


def test_krum_of_too_few_is_an_error():
    with pytest.raises(TooFewModels, match="krum with 1 more faulty peers needs 5 models"):
        Krum(1, 1).merge(COMMON, sent((0, 0), (1, 1), (2, 2), (3, 3)), 0)


def test_a_large_count_does_not_hide_what_krum_compares():
    def model(peer: int, weight: float, count: float) -> Model:
        return Model(peer, {"weight": np.array([weight]), "count": np.array([count])}, 1)

    given = [model(i, 1.0 + 0.01 * i, 1e6 + 100 * i) for i in range(4)]
    merged = Krum(1, 1).merge(given[0], [*given[1:], model(4, -1.0, 1e6 + 50)], 0)
    assert merged.parameters["weight"][0] >= 1.0


def test_rows_count_each_array_alike():
    found = rows([{"a": np.array([3.0, 4.0]), "b": np.array(1e6)}, {"a": np.zeros(2), "b": 3e6}])
    np.testing.assert_allclose(found, [[1.2, 1.6, 0.5], [0, 0, 1.5]])


def test_gossip_takes_a_share_of_one_neighbour_who_follows_from_the_seed():
    given = sent((4, 0), (8, 0))
    chosen = {
        number: Gossip(0.25, seed=3).merge(COMMON, given, number).parameters["x"][0]
        for number in range(20)
    }
    assert set(chosen.values()) == {1.0, 2.0}
    for number, value in chosen.items():
        other = Gossip(0.25, seed=3).neighbour(9, [1, 0], number)
        assert value == 0.25 * given[other].parameters["x"][0]


def test_gossip_with_nobody_keeps_the_own_model():
    assert Gossip(0.5, 0).merge(COMMON, [], 0).parameters["x"].tolist() == [0, 0]


def test_divergence_by_hand():
    # mean (3, 0); distances 1, 1; norm 3
    assert divergence([m.parameters for m in sent((2, 0), (4, 0))]) == pytest.approx(1 / 3)
    assert divergence([m.parameters for m in sent((2, 0), (2, 0))]) == 0


def test_divergence_is_that_of_weights_not_of_what_normalisers_count():
    one, two = ({"w": np.ones(2), "returns.num_samples": np.asarray(n)} for n in (10, 1000))
    assert divergence([one, two]) == 0


@pytest.mark.parametrize("kind", ["huge", "sign flipped", "zero"])
def test_a_model_that_stands_out_is_named(kind):
    given = [garbage(kind, m) if m.peer == 4 else m for m in models(spread=0.01)]
    assert set(outlying(given)) == {4}
    assert outlying(given)[4] > 10
    assert outlying(models(spread=0.01)) == {}


@given(
    arrays(np.float64, (7, 4), elements=st.floats(-1e3, 1e3)),
    arrays(np.float64, (2, 4), elements=st.floats(-1e12, 1e12)),
)
def test_what_is_tolerated_cannot_move_a_merge_out_of_the_honest_range(honest, poison):
    given = [Model(i, {"x": row}, 1) for i, row in enumerate([*honest, *poison])]
    own = Model(-1, {"x": np.zeros(4)})
    for merge in (Median(), TrimmedMean(2)):
        merged = merge.merge(own, given, 0).parameters["x"]
        assert (merged >= honest.min(axis=0) - 1e-9).all()
        assert (merged <= honest.max(axis=0) + 1e-9).all()
