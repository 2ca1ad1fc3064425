import json

import pytest

from troupe.cli.plan_values import parse_bandwidth, parse_workers
from troupe.core.errors import UserError

QUICK = ("plan", "scara-reach", "--no-calibrate", "--instances-per-worker", "1", "--cores", "2")


def test_a_plan_is_one_json_object_and_follows_from_the_seed(troupe, tmp_path):
    words = (*QUICK, "--workers", "1..8", "--step-time", "100ms", "--price-per-hour", "0.05")
    code, out, err = troupe(*words, "--steps", "36000", "--json")
    assert code == 0, err
    made = json.loads(out)
    assert [row["workers"] for row in made["plan"]] == [1, 2, 4, 8]
    last = made["plan"][-1]
    assert last["steps_per_s"] == pytest.approx(80, rel=0.02)
    assert last["price"] == pytest.approx(0.05 * last["instance_hours"])
    assert last["instance_hours"] == pytest.approx(8 * last["wall_s"] / 3600)
    assert made["knee"] == 8
    assert made["is_limited"] is False
    assert made["calibration"]["measured"] is False
    assert made["fleet"]["mode"] == "synchronous"
    assert troupe(*words, "--steps", "36000", "--json")[1] == out
    assert not list(tmp_path.iterdir())


def test_the_table_marks_the_knee_and_shows_what_was_assumed(troupe):
    words = ("--workers", "1..64", "--step-time", "1ms", "--mode", "asynchronous")
    code, _, err = troupe(*QUICK, *words, "--bandwidth", "1Mbit/s")
    assert code == 0
    assert "typical, not measured" in err
    assert "policy 25,000 B" in err
    assert [line for line in err.splitlines() if line.strip().endswith("knee")]
    assert "cost" not in err


def test_calibration_measures_the_experiment(troupe):
    tiny = ("learner.batch=64", "learner.minibatch=64", "learner.hidden=[8]", "learner.epochs=1")
    small = [word for override in tiny for word in ("--set", override)]
    words = ("scara-reach", *small, "--instances-per-worker", "4", "--workers", "2", "--json")
    code, out, err = troupe("plan", *words)
    assert code == 0, err
    found = json.loads(out)["calibration"]
    assert found["measured"] is True
    assert 0 < found["engine_s"] < found["step_cpu_s"] < 1
    assert 0 < found["update_s"] < 1


def test_declared_slowness_is_that_of_the_plan(troupe):
    code, out, _ = troupe("plan", "scara-reach-20ms", *QUICK[2:], "--workers", "4", "--json")
    assert code == 0
    made = json.loads(out)
    assert made["fleet"]["step"]["simulator"]["mean_s"] == 0.02
    assert made["plan"][0]["steps_per_s"] == pytest.approx(200, rel=0.05)
    drawn = ("scara-reach-tail", *QUICK[2:], "--workers", "4", "--json")
    simulator = json.loads(troupe("plan", *drawn)[1])["fleet"]["step"]["simulator"]
    assert simulator == {"mean_s": 0.02, "kind": "pareto", "spread": 1.5, "longest_s": 2.0}


@pytest.mark.parametrize(
    ("words", "message"),
    [
        (("--workers", "0..5"), "'0..5': 0 is not valid; valid: 1 to 4096"),
        (("--workers", "1..5000"), "5000 is not valid"),
        (("--workers", "8..2"), "the first number is more than the last"),
        (("--workers", "many"), "write numbers of workers"),
        (("--bandwidth", "1Gbyte"), "'1Gbyte': write a number over 0 and a unit"),
        (("--bandwidth", "0Gbit/s"), "write a number over 0"),
        (("--price-per-hour", "-1"), "--price-per-hour: at least 0, not -1.0"),
        (("--price-per-hour", "nan"), "at least 0, not nan"),
        (("--step-time", "100"), "--step-time: '100' is not a duration"),
        (("--step-time", "0ms"), "--step-time: more than 0"),
        (("--latency", "fast"), "--latency: 'fast' is not a duration"),
        (("--step-time", "1ms", "--tail", "1"), "--tail: an exponent over 1"),
        (("--tail", "2"), "give --step-time too"),
        (("--step-cpu", "2"), "--step-cpu: a share, 0 to 1, not 2.0"),
        (("--mode", "asynchron"), "Did you mean 'asynchronous'?"),
        (("--set", "fleet.mode=preemptive", "--set", "fleet.workers=8"), "cannot be planned"),
    ],
)
def test_bad_input_is_told(troupe, words, message):
    code, out, err = troupe(*QUICK, *words)
    assert code == 2
    assert message in err
    assert out == ""


def test_an_experiment_without_a_learner_cannot_be_planned(troupe):
    code, _, err = troupe("plan", "vehicle", "--no-calibrate")
    assert code == 2
    assert "cannot be trained" in err


def test_workers_and_bandwidths_are_read():
    assert parse_workers("1..100") == [1, 2, 4, 8, 16, 32, 64, 100]
    assert parse_workers("6..6") == [6]
    assert parse_workers("8,2,8") == [2, 8]
    assert parse_bandwidth("2.5Mbit/s") == 2.5e6
    assert parse_bandwidth("1 GB/s") == 8e9
    with pytest.raises(UserError, match="kbit/s"):
        parse_bandwidth("1 furlong")
