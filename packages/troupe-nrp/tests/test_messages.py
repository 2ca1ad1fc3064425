import numpy as np
import pytest
from troupe.core.errors import EngineError

from nrp_core import DataPackIdentifier, EngineDataPack, TransceiverFunction
from nrp_core.data import nrp_protobuf
from nrp_core.data.nrp_json import JsonDataPack, NlohmannJson
from nrp_core.data.nrp_protobuf import wrappers_pb2
from nrp_core.engines.python_grpc import GrpcEngineScript
from nrp_core.engines.python_json import EngineScript
from nrp_protobuf import dump_pb2, gazebo_pb2, nrpgenericproto_pb2
from troupe_nrp.packs import received
from troupe_nrp.run import run


def test_json_begins_empty_and_becomes_an_object_or_an_array() -> None:
    data = JsonDataPack("name", "engine").data
    assert data.json_type() == "null"
    assert len(data) == 0
    data["a"] = np.array([1, 2], np.int8)
    data["b"] = {"c": (1.5, None)}
    assert data.json_type() == "object"
    assert data == {"a": [1, 2], "b": {"c": [1.5, None]}}
    assert data.keys() == ["a", "b"]
    assert "a" in data
    assert data.get("z", 3) == 3
    data["A"] = "é"
    assert str(data) == '{"A":"é","a":[1,2],"b":{"c":[1.5,null]}}'
    with pytest.raises(TypeError):
        data.append(1)

    array = NlohmannJson()
    array.append(1.55)
    array.append({"a": 1})
    assert array.json_type() == "array"
    assert (len(array), array[1]["a"]) == (2, 1)
    with pytest.raises(TypeError):
        array["key"] = 1
    with pytest.raises(TypeError, match="not JSON"):
        array.append(object())


def test_a_pack_is_a_copy() -> None:
    value = {"a": [1]}
    pack = received("p", "e", value, is_updated=True)
    pack.data["a"].append(2)
    assert value == {"a": [1]}
    empty = received("p", "e", None, is_updated=False)
    assert empty.isEmpty()
    with pytest.raises(ValueError, match="is empty"):
        _ = empty.data


@pytest.mark.parametrize("package", ["Dump", "EngineTest", "Gazebo", "NrpGenericProto", "Wrappers"])
def test_messages_have_classes_of_all_kinds(package) -> None:
    module = getattr(nrp_protobuf, f"{package.lower()}_pb2")
    names = [name for name, value in vars(module).items() if hasattr(value, "FromString")]
    assert names
    for name in names:
        pack = getattr(nrp_protobuf, f"{package}{name}DataPack")("p", "e")
        assert type(pack.data) is getattr(module, name)
        assert type(getattr(nrp_protobuf, f"{package}{name}RawData")().data) is type(pack.data)
        assert getattr(nrp_protobuf, f"{package}{name}") is type(pack.data)
        copied = received("p", "e", pack.travelling(), is_updated=True)
        assert copied.data == pack.data
        assert type(copied) is type(pack)


def test_messages_hold_what_experiments_use() -> None:
    array = nrpgenericproto_pb2.ArrayInt32()
    array.array.extend(np.arange(6))
    array.shape.extend((2, 3))
    assert np.reshape(array.array, array.shape).tolist() == [[0, 1, 2], [3, 4, 5]]
    assert nrpgenericproto_pb2.Image(type=nrpgenericproto_pb2.IMAGE_TYPE.RGB8).type == 1
    assert wrappers_pb2.BytesValue(value=b"x").value == b"x"
    assert gazebo_pb2.Joint(position=1.5).position == 1.5
    assert dump_pb2.String(string_stream="x").string_stream == "x"
    assert dump_pb2.ArrayFloat(float_stream=[1], dims=[1]).dims[0] == 1


def test_classes_of_a_users_own_message() -> None:
    from google.protobuf import descriptor_pb2, descriptor_pool

    file = descriptor_pb2.FileDescriptorProto(name="own.proto", package="Lab", syntax="proto3")
    file.message_type.add(name="Rat").field.add(name="mass", number=1, type=1, label=1)
    descriptor_pool.Default().AddSerializedFile(file.SerializeToString())
    pack = nrp_protobuf.LabRatDataPack("rat", "maze")
    pack.data.mass = 0.3
    assert received("rat", "maze", pack.travelling(), is_updated=True).data.mass == 0.3
    with pytest.raises(AttributeError, match="'NoSuchThingDataPack'"):
        _ = nrp_protobuf.NoSuchThingDataPack


def test_scripts_and_functions_can_be_used_without_a_simulation() -> None:
    class Script(EngineScript):
        def initialize(self) -> None:
            self._registerDataPack("out")

        def runLoop(self, timestep_ns: int) -> None:  # noqa: N802
            self._setDataPack("out", {"step": timestep_ns})

    script = Script()
    script.initialize()
    assert script._getDataPack("out") == {}
    script.runLoop(5)
    assert script._getDataPack("out") == {"step": 5}

    class GrpcScript(GrpcEngineScript):
        pass

    typed = GrpcScript()
    typed._registerDataPack("text", dump_pb2.String)
    with pytest.raises(TypeError, match=r"is of Dump\.String, not Gazebo\.Joint"):
        typed._setDataPack("text", gazebo_pb2.Joint())

    @EngineDataPack(keyword="pack", id=DataPackIdentifier("out", "e"))
    @TransceiverFunction("e")
    def double(pack):
        return [2 * pack]

    assert double(pack=4) == [8]


def test_a_pack_of_the_wrong_type_is_an_error(write_experiment, engine, function) -> None:
    typed = """
        from nrp_core.engines.python_grpc import GrpcEngineScript
        from nrp_core.data.nrp_protobuf import dump_pb2

        class Script(GrpcEngineScript):
            def initialize(self):
                self._registerDataPack("text", dump_pb2.String)
            def runLoop(self, timestep_ns):
                pass
    """
    wrong = """
        from nrp_core import *
        from nrp_core.data.nrp_json import *

        @TransceiverFunction("typed")
        def wrong():
            pack = JsonDataPack("text", "typed")
            pack.data["text"] = "x"
            return [pack]
    """
    path = write_experiment(
        {
            "SimulationTimeout": 1,
            "EngineConfigs": [engine("typed", "typed", EngineType="python_grpc")],
            "DataPackProcessingFunctions": [function("wrong")],
        },
        typed=typed,
        wrong=wrong,
    )
    with pytest.raises(EngineError, match=r"engine 'typed' cannot take 'text'.*\n.*Dump\.String"):
        run(path)
