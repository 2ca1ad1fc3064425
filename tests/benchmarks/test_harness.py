import json
import sys
from dataclasses import replace

import pytest

from benchmarks.harness import (
    BenchmarkError,
    Command,
    Options,
    Records,
    in_turn,
    ratio,
    run_together,
)


@pytest.fixture
def options(tmp_path):
    return Options(out=tmp_path, command="python -m benchmarks some")


def test_contenders_take_turns_and_ratios_are_those_of_the_same_round():
    calls = []

    def contender(name, values):
        def measure():
            calls.append(name)
            return values.pop(0)

        return measure

    found = in_turn({"a": contender("a", [2.0, 9.0, 4.0]), "b": contender("b", [1.0, 3.0, 4.0])}, 3)
    assert "".join(calls) == "ababab"
    spread = ratio(found["a"], found["b"])
    assert (spread.median, spread.low, spread.high) == (2.0, 1.0, 3.0)


def test_records_that_are_there_are_not_made_again_unless_forced(options):
    Records("some", options).get("other", lambda: {"value": 0})
    Records("some", options).get("one", lambda: {"value": 1})
    assert Records("some", options).get("one", lambda: {"value": 2})["value"] == 1
    forced = Records("some", replace(options, force=True)).get("one", lambda: {"value": 3})
    assert forced["value"] == 3
    result = json.loads(options.result("some").read_text())
    assert set(result["records"]) == {"one", "other"}
    assert result["records"]["one"]["machine"]["cores"] >= 1
    assert result["command"] == "python -m benchmarks some"


def test_commands_run_together_return_what_they_print_and_failures_are_told():
    fine = Command([sys.executable, "-c", "print('{\"steps\": 3}')"])
    assert run_together([fine, fine]) == [{"steps": 3}] * 2
    broken = Command([sys.executable, "-c", "raise SystemExit('no such robot')"])
    with pytest.raises(BenchmarkError, match="no such robot"):
        run_together([fine, broken])
