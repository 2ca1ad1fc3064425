"""Learners that exchange, with a model simple enough to follow by hand.

Learner i pulls the parameter x towards i: its gradient is x - i, and a step takes half of it.
"""

import os
import sys
import time
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import pytest
import ray

from troupe.core import TroupeError, UserError, plugins
from troupe.core.settings import validated
from troupe.fleet.peers.exchange import Outcome
from troupe.fleet.peers.local import SERVER, Improvement
from troupe.fleet.peers.open import open_exchange

pytestmark = [pytest.mark.xdist_group("ray"), pytest.mark.usefixtures("cluster")]
ray.cloudpickle.register_pickle_by_value(sys.modules[__name__])


class Pull:
    def __init__(
        self, number: int, garbage: float | None, dies_at: Mapping[int, Path | None]
    ) -> None:
        self.number, self.garbage, self.dies_at = number, garbage, dies_at
        self.x, self.updates, self.learns = np.zeros(1), 0, False

    def improve(self):
        self.agree(self.begin())
        self.apply(self.gradients(0))
        return self.finish()

    def begin(self):
        self.learns = True
        if self.updates in self.dies_at:
            marker = self.dies_at[self.updates]
            if marker is None:
                os._exit(1)
            if not marker.exists():
                marker.touch()
                os._exit(1)
        return {"sum": np.asarray(float(self.number))}

    def agree(self, statistics):
        self.agreed = float(statistics["sum"])
        return int(self.learns)

    def gradients(self, minibatch):
        return {"x": self.x - self.number if self.garbage is None else np.array([self.garbage])}

    def apply(self, gradients):
        self.x = self.x - 0.5 * gradients["x"]

    def finish(self):
        self.updates += 1
        return Improvement(10, {"agreed": self.agreed, "updates": float(self.updates)})

    def aligned(self, models):
        return [dict(model) for model in models]

    def parameters(self):
        return {"x": self.x.copy() if self.garbage is None else np.array([self.garbage])}

    def adopt(self, parameters):
        self.x = np.array(parameters["x"]) if self.garbage is None else self.x

    def state(self):
        return {"x": self.x.copy(), "own/updates": np.asarray(self.updates)}

    def restore(self, state):
        self.x = np.array(state["x"])
        self.updates = int(state.get("own/updates", self.updates))

    def close(self):
        return


@dataclass(frozen=True)
class MakePull:
    garbage: Mapping[int, float]
    deaths: Mapping[int, Mapping[int, Path | None]]

    def __call__(self, number: int) -> Pull:
        return Pull(number, self.garbage.get(number), self.deaths.get(number, {}))


@pytest.fixture
def learners():
    """Learners that exchange by a merge: how many, what some send, and when some die."""
    opened = []

    def close() -> None:
        for exchange in opened:
            exchange.close()
            exchange.pool.close()
        opened.clear()

    def make(merge: str, number: int = 3, garbage=None, deaths=None, **values):
        close()  # the cores are for one exchange at a time
        cls = plugins.load("troupe.merges", merge)
        settings = validated(cls, {"type": merge, **values}, "fleet.merge")
        maker = MakePull(garbage or {}, deaths or {})
        exchange = open_exchange(settings, maker, maker(SERVER), number, seed=0)
        opened.append(exchange)
        return exchange

    yield make
    close()


def x(exchange) -> float:
    return float(exchange.parameters["x"][0])


def own_x(exchange) -> list[float]:
    """The models that the learners have now."""
    found = ray.get([actor.parameters.remote() for actor in exchange.pool.actors.values()])
    return [float(parameters["x"][0]) for parameters in found]


def until(exchange, is_there) -> Outcome:
    """Go on until an outcome is as asked for, and return it."""
    deadline = time.monotonic() + 200
    while time.monotonic() < deadline:
        outcome = exchange.step()
        if is_there(outcome):
            return outcome
        time.sleep(0.001)
    raise AssertionError("it never came to that")


def updates(outcome, number: int) -> float:
    """How many updates a learner has made; 0 if it is none of those that report."""
    report = outcome.reports.get(number)
    return report.improvements[-1].figures["updates"] if report else 0


def test_rounds_by_hand(learners):
    exchange = learners("average")
    outcome = exchange.step()
    # 0, 0.5 and 1, whose mean is 0.5: distances 0.5, 0, 0.5
    assert x(exchange) == 0.5
    assert outcome.divergence == pytest.approx((1 / 3) / 0.5)
    assert [report.steps for report in outcome.reports.values()] == [10, 10, 10]
    exchange.step()
    assert x(exchange) == 0.75
    assert own_x(exchange) == [0.75] * 3


def test_learners_improve_alone_between_rounds(learners):
    exchange = learners("average", every=2)
    outcome = exchange.step()
    assert x(exchange) == pytest.approx(0.75 * (0 + 1 + 2) / 3)
    assert outcome.reports[2].parameters["x"] == pytest.approx(1.5)
    assert [len(report.improvements) for report in outcome.reports.values()] == [2, 2, 2]


@pytest.mark.slow
def test_federated_remembers_its_momentum_over_a_restart(learners):
    whole = learners("federated", every=1)
    for _ in range(4):
        whole.step()
    first = learners("federated", every=1)
    first.step()
    first.step()
    second = learners("federated", every=1)
    second.pool.restore(first.pool.states)
    second.restore(first.state())
    second.step()
    outcome = second.step()
    assert x(second) == x(whole)
    assert [r.improvements[0].figures["updates"] for r in outcome.reports.values()] == [4, 4, 4]


@pytest.mark.slow
def test_garbage_is_ignored_and_named_and_what_stands_out_too(learners):
    exchange = learners("median", 5, garbage={1: np.nan, 3: 1e9})
    outcome = exchange.step()
    assert outcome.ignored == {1: "'x' has 1 of 1 values that are not finite"}
    assert set(outcome.outlying) == {3}
    assert x(exchange) == 1.5  # of 0, 1, 2 and 1e9


@pytest.mark.slow
def test_too_few_models_leave_the_common_one_as_it_is(learners):
    exchange = learners("krum", 5, garbage={3: np.nan, 4: np.inf}, faulty=1)
    exchange.step()
    assert x(exchange) in (0, 0.5, 1)
    exchange = learners("krum", 5, garbage={2: np.inf, 3: np.nan, 4: np.inf}, faulty=1)
    outcome = exchange.step()
    assert (
        outcome.skipped == "krum with 0 more faulty peers needs 3 models that can be used; "
        "there are 2."
    )
    assert x(exchange) == 0


def test_a_dead_learner_is_replaced_while_the_others_go_on(learners, tmp_path):
    exchange = learners("average", deaths={1: {1: tmp_path / "died"}})
    exchange.step()
    outcome = exchange.step()
    assert set(outcome.reports) == {0, 2}
    assert exchange.pool.restarts_of == {1: 1}
    report = until(exchange, lambda outcome: 1 in outcome.reports).reports[1]
    # it goes on from the state that it had reported, and from the common model
    assert report.improvements[0].figures["updates"] == 2
    assert report.parameters["x"] > 0.9


@pytest.mark.slow
def test_a_learner_that_dies_again_and_again_ends_the_run(learners):
    exchange = learners("average", 2, deaths={1: {0: None}})
    with pytest.raises(TroupeError, match="learner 1 died 6 times in a row"):
        until(exchange, lambda outcome: False)


def test_all_reduce_by_hand(learners):
    exchange = learners("all-reduce")
    outcome = exchange.step()
    # the mean gradient is 0 - (0 + 1 + 2) / 3, and so are the statistics
    assert own_x(exchange) == [0.5] * 3
    assert outcome.divergence == 0
    assert [r.improvements[0].figures["agreed"] for r in outcome.reports.values()] == [1, 1, 1]
    exchange.step()
    assert x(exchange) == 0.75


@pytest.mark.slow
def test_all_reduce_goes_on_without_a_dead_learner_and_a_new_one_is_like_the_others(
    learners, tmp_path
):
    exchange = learners("all-reduce", deaths={2: {1: tmp_path / "died"}})
    exchange.step()
    assert set(exchange.step().reports) == {0, 1}
    assert x(exchange) == 0.5 - 0.5 * (0.5 - 0.5)
    until(exchange, lambda outcome: 2 in outcome.reports)
    assert len(set(own_x(exchange))) == 1
    assert len(own_x(exchange)) == 3


@pytest.mark.slow
def test_gradients_that_are_garbage_are_ignored_and_named(learners):
    exchange = learners("all-reduce", garbage={2: np.nan})
    assert exchange.step().ignored == {2: "'x' has 1 of 1 values that are not finite"}
    exchange = learners("parameter-server", garbage={0: np.nan})
    assert exchange.step().ignored == {0: "'x' has 1 of 1 values that are not finite"}
    assert x(exchange) == 0.75
    exchange = learners("parameter-server", 1, garbage={0: np.nan}, synchronous=False)
    assert exchange.step().ignored == {0: "'x' has 1 of 1 values that are not finite"}
    assert x(exchange) == 0


@pytest.mark.slow
def test_a_synchronous_server_by_hand_and_killed(learners):
    exchange = learners("parameter-server")
    exchange.step()
    assert x(exchange) == 0.5
    ray.kill(exchange.server.actor)
    exchange.step()
    assert x(exchange) == 0.75
    assert exchange.server.restarts == 1


@pytest.mark.slow
def test_an_asynchronous_server_takes_gradients_as_they_come(learners):
    exchange = learners("parameter-server", 1, synchronous=False)
    exchange.step()
    assert x(exchange) == 0
    exchange = learners("parameter-server", 2, synchronous=False)
    for number in (0, 1):
        until(exchange, lambda outcome, n=number: updates(outcome, n) >= 5)
    assert 0 < x(exchange) < 1


@pytest.mark.slow
def test_an_asynchronous_server_that_dies_is_replaced_where_it_was(learners):
    exchange = learners("parameter-server", 2, synchronous=False)
    for _ in range(4):
        exchange.step()
    held = x(exchange)
    assert held > 0
    ray.kill(exchange.server.actor)
    for _ in range(4):
        outcome = exchange.step()
    assert exchange.server.restarts == 1
    assert 0 < x(exchange) < 1
    assert outcome.reports[next(iter(outcome.reports))].improvements[0].figures["updates"] > 1


@pytest.mark.slow
def test_gossip_comes_to_agree_and_learners_join_and_leave(learners):
    exchange = learners("gossip", 2)
    until(exchange, lambda outcome: 0 in outcome.reports)
    until(exchange, lambda outcome: 1 in outcome.reports)
    assert 0 <= x(exchange) <= 1
    # a newcomer begins with a neighbour's model
    exchange.join(2)
    outcome = until(exchange, lambda outcome: 2 in outcome.reports)
    assert outcome.reports[2].improvements[0].figures["updates"] == 1
    exchange.leave(0)
    for _ in range(40):
        outcome = exchange.step()
        assert 0 not in outcome.reports
    # only those that pull towards 1 and 2 are left
    assert 1 <= x(exchange) <= 2
    assert exchange.pool.restarts == 0


@pytest.mark.slow
def test_gossip_goes_on_when_a_learner_dies(learners, tmp_path):
    exchange = learners("gossip", 3, deaths={0: {2: tmp_path / "died"}})
    for number in (0, 1, 2):
        until(exchange, lambda outcome, n=number: updates(outcome, n) >= 4)
    assert exchange.pool.restarts_of == {0: 1}


def test_too_few_learners_are_refused(learners):
    with pytest.raises(UserError, match=r"fleet\.merge: 'gossip'.* at least 2 learners, not 1"):
        learners("gossip", 1)
