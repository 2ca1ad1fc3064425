import pytest
from troupe.core.errors import UserError

from nrp_client import NrpCore
from troupe_nrp.run import run

BRAIN = """
import nest
from nrp_core.engines.nest_json import CreateDataPack, RegisterDataPack
from nrp_core.engines.nest_json import brain_devices as bd

nest.ResetKernel()
source = CreateDataPack("source", "poisson_generator", 2)
neurons = nest.Create("iaf_psc_alpha", 3)
nest.Connect(source, neurons, syn_spec={"weight": 500.0, "delay": 1.0})
recorder = nest.Create("spike_recorder")
nest.Connect(neurons, recorder)
RegisterDataPack("spikes", recorder)
RegisterDataPack("neurons", neurons)
RegisterDataPack("synapses", nest.GetConnections(source, neurons))
current = bd.DCSource(nest, "current", neurons)
bd.PoissonSpikeGenerator(nest, "noise", neurons)
bd.LeakyIntegratorAlpha(nest, "alpha", neurons)
bd.LeakyIntegratorExp(nest, "exponential", neurons)
"""

STATUS = """
from nrp_core import *
from nrp_core.data.nrp_json import JsonRawData

@EngineDataPack(keyword="spikes", id=DataPackIdentifier("spikes", "brain"))
@EngineDataPack(keyword="neurons", id=DataPackIdentifier("neurons", "brain"))
@EngineDataPack(keyword="kernel", id=DataPackIdentifier("kernel", "brain"))
@EngineDataPack(keyword="synapses", id=DataPackIdentifier("synapses", "brain"))
@EngineDataPack(keyword="alpha", id=DataPackIdentifier("alpha", "brain"))
@StatusFunction()
def status(spikes, neurons, kernel, synapses, alpha):
    raw = JsonRawData()
    raw.data["num_spikes"] = spikes.data[0]["n_events"]
    raw.data["times"] = spikes.data[0]["events"]["times"]
    raw.data["V_m"] = [neuron["V_m"] for neuron in neurons.data]
    raw.data["ms"] = kernel.data["biological_time"]
    raw.data["weights"] = [synapse["weight"] for synapse in synapses.data]
    raw.data["alpha"] = alpha.data[0]["V_m"]
    return False, [raw]
"""


def brain(**keys):
    return {
        "EngineName": "brain",
        "EngineType": "nest_json",
        "NestInitFileName": "brain.py",
        **keys,
    }


def test_nest_json_steps_a_network_in_its_own_process(write_experiment, function) -> None:
    path = write_experiment(
        {"EngineConfigs": [brain(NestRNGSeed=5)], "StatusFunction": function("status")},
        brain=BRAIN,
        status=STATUS,
    )
    with NrpCore(config_file=path) as core:
        core.initialize()
        core.set_json_datapack("source", "brain", [{"rate": 5000.0}, {"rate": 4000.0}])
        _, trajectory = core.run_loop(6)
        assert [seen["ms"] for seen in trajectory] == [0, 10, 20, 30, 40, 50]
        assert trajectory[0]["num_spikes"] == 0
        assert trajectory[-1]["num_spikes"] == len(trajectory[-1]["times"]) > 0
        assert max(trajectory[-1]["times"]) <= 50
        assert len(trajectory[-1]["V_m"]) == 3
        assert trajectory[-1]["weights"] == [500.0] * 6
        assert trajectory[-1]["alpha"] > 0

        core.reset()
        core.set_json_datapack("source", "brain", [{"rate": 5000.0}, {"rate": 4000.0}])
        assert core.run_loop(6)[1] == trajectory  # the seed is the same, so is the noise

        core.reset()
        core.set_json_datapack("source", "brain", {"rate": 0.0})  # a dict is for all nodes
        assert core.run_loop(6)[1][-1]["num_spikes"] == 0


@pytest.mark.parametrize(
    ("script", "pack", "message"),
    [
        ("import nest\nnest.Create('no_such_model')", "spikes", "no_such_model"),
        ("import nest\nx = 1", "spikes", "unknown datapack 'spikes'. Valid: kernel"),
    ],
)
def test_wrong_networks_are_named(write_experiment, function, script, pack, message) -> None:
    status = f"""
        from nrp_core import *

        @EngineDataPack(keyword="p", id=DataPackIdentifier("{pack}", "brain"))
        @StatusFunction()
        def status(p):
            return False, []
    """
    path = write_experiment(
        {"EngineConfigs": [brain()], "StatusFunction": function("status")},
        brain=script,
        status=status,
    )
    with pytest.raises(UserError, match=message):
        run(path)


SERVER_BRAIN = """
import nest
import math

source = nest.Create("dc_generator")
neurons = nest.Create("iaf_psc_alpha", 3)
nest.Connect(source, neurons)
recorder = nest.Create("spike_recorder")
nest.Connect(neurons, recorder)
populations = {"source": source, "neurons": neurons, "spikes": recorder}
connections = {"synapses": {"source": "source", "target": "neurons"}}
"""

SERVER_STATUS = """
from nrp_core import *
from nrp_core.data.nrp_json import JsonRawData

@EngineDataPack(keyword="spikes", id=DataPackIdentifier("spikes", "brain"))
@EngineDataPack(keyword="neurons", id=DataPackIdentifier("neurons", "brain"))
@EngineDataPack(keyword="synapses", id=DataPackIdentifier("synapses", "brain"))
@StatusFunction()
def status(spikes, neurons, synapses):
    raw = JsonRawData()
    raw.data["num_spikes"] = spikes.data[0]["n_events"]
    raw.data["V_m"] = [neuron["V_m"] for neuron in neurons.data]
    raw.data["weights"] = [synapse["weight"] for synapse in synapses.data]
    return False, [raw]
"""


@pytest.mark.slow
def test_nest_server_steps_a_network(write_experiment, function) -> None:
    path = write_experiment(
        {
            "EngineConfigs": [brain(EngineType="nest_server")],
            "StatusFunction": function("status"),
        },
        brain=SERVER_BRAIN,
        status=SERVER_STATUS,
    )
    with NrpCore(config_file=path) as core:
        core.initialize()
        core.set_json_datapack("source", "brain", {"amplitude": 1000.0})
        _, trajectory = core.run_loop(6)
        assert trajectory[0]["num_spikes"] == 0
        assert trajectory[0]["V_m"] == [-70.0] * 3
        # the same current makes all three spike at once
        assert trajectory[-1]["num_spikes"] % 3 == 0
        assert trajectory[-1]["num_spikes"] > 0
        assert trajectory[-1]["weights"] == [1.0] * 3
        core.reset()
        assert core.run_loop(3)[1][-1]["num_spikes"] == 0


def test_a_server_script_without_populations_is_refused(write_experiment) -> None:
    path = write_experiment(
        {"EngineConfigs": [brain(EngineType="nest_server")]}, brain="import nest"
    )
    with pytest.raises(UserError, match="no dict 'populations'"):
        run(path)
