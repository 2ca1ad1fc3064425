import numpy as np
import pytest

from tests.learning.bandit import N, T, long_episodes, make_learner, sample
from tests.learning.test_ppo_weights import assert_alike, assert_same_figures
from troupe.episodes import Fragment, join_instances
from troupe.learning.alignment import aligned
from troupe.learning.ppo import PPO

Arrays = dict[str, np.ndarray]


def update_together(learners: list[PPO], fragments: list[Fragment]) -> list[dict[str, float]]:
    statistics = [
        learner.begin(fragment) for learner, fragment in zip(learners, fragments, strict=True)
    ]
    agreed = average(statistics)
    (num_minibatches,) = {learner.agree(agreed) for learner in learners}
    for k in range(num_minibatches):
        gradients = average([learner.gradients(k) for learner in learners])
        for learner in learners:
            learner.apply(gradients)
    return [learner.finish() for learner in learners]


def average(models: list[Arrays]) -> Arrays:
    return {name: np.mean([model[name] for model in models], axis=0) for name in models[0]}


@pytest.mark.parametrize(
    "changes",
    [
        pytest.param({}, id="defaults"),
        pytest.param(
            {"schedule": "kl-adaptive", "correction": "vtrace", "target_kl": 1e-4},
            id="kl-adaptive",
            marks=pytest.mark.slow,
        ),
    ],
)
def test_step_by_step_is_the_same_as_an_update(changes: dict[str, str]):
    whole, stepwise = make_learner(**changes), make_learner(**changes)
    for seed in range(2):
        fragment = long_episodes(sample(whole.policy(), seed, scale=3.0, shift=5.0), seed)
        expected = whole.update(fragment)
        (figures,) = update_together([stepwise], [fragment])
        assert_same_figures(figures, expected)
        assert_alike(stepwise, whole)
    assert stepwise.version == 2


@pytest.mark.slow
def test_step_by_step_with_weights_is_the_same_as_an_update_with_weights():
    whole, stepwise = make_learner(), make_learner()
    fragment = long_episodes(sample(whole.policy()))
    weight = np.random.default_rng(1).choice([0.0, 0.5, 1.5], size=(T, N)).astype(np.float32)
    expected = whole.update(fragment, weight)
    num_minibatches = stepwise.agree(stepwise.begin(fragment, weight))
    for k in range(num_minibatches):
        stepwise.apply(stepwise.gradients(k))
    assert_same_figures(stepwise.finish(), expected)
    assert_alike(stepwise, whole)


@pytest.mark.slow
def test_two_learners_are_one_learner_of_twice_the_batch():
    changes = {"minibatch": 64, "normalise_advantages": "none", "epochs": 3}
    pair = [make_learner(batch=64, **changes) for _ in range(2)]
    one = make_learner(batch=128, **{**changes, "minibatch": 128})
    for seed in (0, 2):
        halves = [
            long_episodes(sample(one.policy(), seed + i, shape=(16, 4), shift=3.0 * i), i)
            for i in range(2)
        ]
        one.update(join_instances(halves))
        update_together(pair, halves)
    counts = ("observations.num_samples", "returns.num_samples")
    assert_alike(pair[0], one, but=counts)


def test_learners_that_agree_on_everything_stay_bitwise_alike():
    pair = [make_learner(schedule="kl-adaptive") for _ in range(2)]
    for seed in range(2):
        fragments = [sample(pair[0].policy(), 10 * seed + i, shift=i) for i in range(2)]
        update_together(pair, fragments)
    first, second = (learner.parameters() for learner in pair)
    for name, values in first.items():
        np.testing.assert_array_equal(values, second[name])


def test_a_server_without_fragments_applies_what_others_find():
    server, worker = make_learner(), make_learner()
    fragment = sample(worker.policy())
    statistics = worker.begin(fragment)
    assert server.agree(statistics) == 0
    for k in range(worker.agree(statistics)):
        found = worker.gradients(k)
        server.apply(found)
        worker.apply(found)
    worker.finish()
    assert_alike(server, worker)


def trained(seed: int, scale: float, shift: float) -> PPO:
    learner = make_learner(step_size=5e-3)
    for i in range(2):
        learner.update(sample(learner.policy(), seed + i, scale=scale, shift=shift))
    return learner


@pytest.fixture(scope="module")
def learners() -> list[PPO]:
    return [trained(10 * i, scale=1.0 + i / 2, shift=2.0 * i) for i in range(3)]


def test_parameters_adopted_elsewhere_make_the_same_policy_and_values(learners: list[PPO]):
    other = make_learner(seed=7)
    other.adopt(learners[1].parameters())
    fragment = sample(other.policy(), shift=2.0)
    seen = fragment.observation[0]
    np.testing.assert_array_equal(
        other.policy().act(seen).action, learners[1].policy().act(seen).action
    )
    np.testing.assert_array_equal(other.priorities(fragment), learners[1].priorities(fragment))
    # what was adopted is a copy
    before = learners[1].parameters()
    other.update(fragment)
    assert_alike_models(before, learners[1].parameters())


def assert_alike_models(first: Arrays, second: Arrays) -> None:
    for name, values in first.items():
        np.testing.assert_array_equal(values, second[name])


def assert_computes_the_same(model: Arrays, learner: PPO, shift: float = 2.0) -> None:
    other = make_learner()
    other.adopt(model)
    fragment = sample(learner.policy(), shift=shift)
    seen = fragment.observation[0]
    np.testing.assert_allclose(
        other.policy().forward(seen), learner.policy().forward(seen), rtol=1e-3, atol=1e-3
    )
    np.testing.assert_allclose(
        other.priorities(fragment), learner.priorities(fragment), rtol=1e-3, atol=1e-3
    )


def test_aligned_models_have_the_same_moments_and_compute_what_they_did(learners: list[PPO]):
    models = learners[0].aligned([learner.parameters() for learner in learners])
    for model, learner in zip(models, learners, strict=True):
        assert_computes_the_same(model, learner)
        for name in ("observations.mean", "observations.variance", "returns.num_samples"):
            np.testing.assert_array_equal(model[name], models[0][name])


def test_averages_mean_something_only_among_aligned_models(learners: list[PPO]):
    learner = learners[2]
    own = learner.parameters()
    # a server takes up moments of quite different data, and computes what it computed
    server = make_learner()
    server.adopt(own)
    for i in range(5):
        server.agree(learners[0].begin(sample(learner.policy(), i, scale=3.0, shift=-4.0)))
    learners[0].restore(learners[0].state())
    other = server.parameters()
    assert_computes_the_same(other, learner)
    assert_computes_the_same(average(learner.aligned([own, other])), learner)
    with pytest.raises(AssertionError):
        assert_computes_the_same(average([own, other]), learner)


@pytest.mark.parametrize("garbage", [np.nan, 1e30, -1e30])
def test_one_sender_of_garbage_cannot_move_the_moments_out_of_the_honest_ones(
    learners: list[PPO], garbage: float
):
    honest = [learner.parameters() for learner in learners]
    poisoned = {name: np.full_like(values, garbage) for name, values in honest[0].items()}
    models = learners[0].aligned([poisoned, *honest])
    means = np.stack([model["observations.mean"] for model in honest])
    assert (models[1]["observations.mean"] >= means.min(axis=0)).all()
    assert (models[1]["observations.mean"] <= means.max(axis=0)).all()
    for model, learner in zip(models[1:], learners, strict=True):
        assert_computes_the_same(model, learner)


def test_a_learner_that_has_seen_nothing_has_no_part_in_the_moments(learners: list[PPO]):
    newcomer = make_learner(seed=7).parameters()
    models = learners[0].aligned([newcomer, learners[1].parameters()])
    expected = learners[1].parameters()
    for name in ("observations.mean", "observations.variance", "observations.num_samples"):
        np.testing.assert_allclose(models[0][name], expected[name], rtol=1e-6)


def test_what_one_learner_never_saw_vary_weighs_nothing_in_an_average(learners: list[PPO]):
    blind = make_learner(seed=7)
    constant = sample(blind.policy())
    constant.observation[..., 1] = 0.25
    constant.final_observation[..., 1] = 0.25
    blind.update(constant)
    (model, _) = learners[0].aligned([blind.parameters(), learners[0].parameters()])
    assert (model["actor.0.weight"][1] == 0).all()
    assert model["observations.variance"][1] == pytest.approx(
        learners[0].parameters()["observations.variance"][1], rel=1e-5
    )


def test_weights_adopted_in_mid_update_are_taken_relative_to_its_moments(learners: list[PPO]):
    learner = make_learner()
    learner.adopt(learners[0].parameters())
    fragment = sample(learner.policy(), shift=1.0)
    learner.agree(learner.begin(fragment))
    expected = learner.gradients(0)
    # the same networks, relative to other moments
    _, moved = learner.aligned([learners[2].parameters(), learner.parameters()])
    assert np.abs(moved["actor.0.weight"] - learner.parameters()["actor.0.weight"]).max() > 1e-2
    learner.adopt(moved)
    for name, values in learner.gradients(0).items():
        np.testing.assert_allclose(values, expected[name], rtol=2e-2, atol=1e-4)


def test_an_ensemble_of_critics_that_see_actions_too_is_aligned_as_well():
    rng = np.random.default_rng(0)

    def model(mean: float, variance: float) -> Arrays:
        return {
            "critics.0.weight": rng.standard_normal((2, 3 + 1, 5)),
            "critics.0.bias": rng.standard_normal((2, 5)),
            "observations.mean": np.full(3, mean),
            "observations.variance": np.full(3, variance),
            "observations.num_samples": np.asarray(10.0),
        }

    def computed(model: Arrays) -> np.ndarray:
        scale = 1 / np.sqrt(model["observations.variance"])
        seen = np.append((observation - model["observations.mean"]) * scale, 0.7)
        return seen @ model["critics.0.weight"] + model["critics.0.bias"]

    observation = rng.standard_normal(3)
    models = [model(0.0, 1.0), model(4.0, 9.0)]
    for before, after in zip(models, aligned(models), strict=True):
        # pooled: half of (1 + 4) + (9 + 4)
        np.testing.assert_allclose(after["observations.variance"], 9.0)
        np.testing.assert_allclose(computed(after), computed(before), rtol=1e-6)
