from nrp_core.client import NrpCore

COUNTING = """
from dataclasses import dataclass
from nrp_core import *

@dataclass
class Counts:
    prepared: "int" = 0

counts = Counts()

@TransceiverFunction("a")
def f():
    counts.prepared += 10
"""

PREPARE = """
from nrp_core import *

@PreprocessingFunction("a")
def f():
    counts.prepared += 1
"""

STATUS = """
from nrp_core import *
from nrp_core.data.nrp_json import JsonRawData

@StatusFunction()
def f():
    data = JsonRawData()
    data.data["prepared"] = counts.prepared
    return False, [data]
"""


def experiment(write_experiment, engine, function):
    return write_experiment(
        {
            "EngineConfigs": [engine("a")],
            "DataPackProcessingFunctions": [function("counting"), function("prepare")],
            "StatusFunction": function("status"),
        },
        counting=COUNTING,
        prepare=PREPARE,
        status=STATUS,
    )


def test_a_file_of_functions_sees_the_variables_of_all(write_experiment, engine, function) -> None:
    with NrpCore(config_file=experiment(write_experiment, engine, function)) as core:
        core.initialize()
        assert core.run_loop(2) == (False, [{"prepared": 11}, {"prepared": 22}])


def test_simulations_do_not_share_variables(write_experiment, engine, function) -> None:
    path = experiment(write_experiment, engine, function)
    with NrpCore(config_file=path) as one, NrpCore(config_file=path) as other:
        one.initialize()
        one.run_loop(3)
        other.initialize()
        assert other.run_loop(1) == (False, [{"prepared": 11}])
        assert one.run_loop(1) == (False, [{"prepared": 44}])
