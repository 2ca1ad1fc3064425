import subprocess

import numpy as np
import pytest
from odd_engine import OddSettings
from processes import end, ids_of

from troupe.core import EngineError, UserError
from troupe.engines.host import open_engine
from troupe.engines.host.grpc_server import Certificate, EngineService
from troupe.engines.mujoco_settings import MujocoSettings

offered = pytest.mark.usefixtures("odd_is_offered")


def open_arm(address):
    return open_engine(MujocoSettings(robot="scara", host=address), "arm", 2, 1)


@pytest.fixture
def serve():
    services = []

    def serve(**options):
        services.append(EngineService("127.0.0.1:0", **options))
        return services[-1].address

    yield serve
    for service in services:
        service.stop()


@offered
def test_everything_passes_through_a_stream(open_odd, service):
    engine = open_odd(host=service.address)
    here = OddSettings().build("odd", 3, 1)
    assert engine.spec.inputs["command"].low.tolist() == [-1.0, -np.inf, 0.1]
    engine.write("command", 1.0)
    engine.write("choice", [1, 2, 3])
    engine.write("order", {"do": "say", "value": {"a": [1]}})
    engine.begin(10)
    engine.write("command", 2.0, np.array([1]))
    assert engine.read("seen").tolist() == [[0.0] * 3] * 3
    engine.finish()
    assert engine.read("seen").tolist() == [[1.0] * 3] * 3
    assert engine.read("choice").tolist() == [1, 2, 3]
    assert engine.read("answer")[2] == {"value": {"a": [1]}, "instance": 2, "array": [0, 1]}
    snapshot = engine.snapshot()
    assert snapshot["structured"].dtype == here.snapshot()["structured"].dtype
    engine.write("order", {"do": "fault"})
    engine.advance(10)
    assert engine.read("seen")[:, 0].tolist() == [1.0, 2.0, 1.0]
    (fault,) = engine.faults()
    assert fault.last_state["state"].tolist() == [1.5, np.inf]
    engine.reset([7, 8, 9])
    engine.restore(snapshot, np.array([1]))
    assert engine.read("seen")[:, 0].tolist() == [7.0, 2.0, 9.0]
    with pytest.raises(UserError, match=r"odd\.command: .*broadcast"):
        engine.write("command", [1.0, 2.0])


@offered
@pytest.mark.parametrize(
    ("order", "error", "message"),
    [
        ({"do": "fail", "value": "oh"}, EngineError, "(?s)'odd' raised:.*KeyError: 'oh'"),
        ({"do": "user-error", "value": "wrong"}, UserError, "^wrong"),
        ({"do": "exit", "value": 3}, EngineError, "'odd' exited with status 3"),
        ({"do": "hang"}, EngineError, "'odd' did not answer within 300ms"),
    ],
)
def test_an_engine_that_fails_says_how_and_where(open_odd, service, order, error, message):
    engine = open_odd(host=service.address, timeout="300ms", with_program=True)
    pids = ids_of(engine)
    engine.write("order", order)
    with pytest.raises(error, match=f"{message}(?s:.*){service.address}"):
        engine.advance(10)
    assert end(pids)
    with pytest.raises(EngineError, match="closed"):
        engine.advance(10)
    open_arm(service.address).close()  # the service goes on


@pytest.mark.slow
@offered
def test_an_engine_ends_with_its_stream(open_odd, service):
    idle, busy = (open_odd(host=service.address, with_program=True) for _ in range(2))
    pids = [*ids_of(idle), *ids_of(busy)]
    busy.write("order", {"do": "hang"})
    busy.begin(10)
    idle.close()
    busy.kill()  # as if the connection were lost
    assert end(pids)
    with pytest.raises(EngineError, match=f"engine 'odd' on {service.address}: the connection is"):
        busy.finish()


@offered
def test_errors_at_the_start_stay_what_they_are(open_odd, service):
    with pytest.raises(UserError, match=r"engines\.odd\.refuse: 'True' is refused\. \(on grpc://"):
        open_odd(host=service.address, refuse=True)


def test_only_types_that_the_server_offers_are_built(open_odd, service):
    with pytest.raises(UserError, match=r"engines\.odd\.type: unknown engine 'odd'.*mujoco"):
        open_odd(host=service.address)


def test_a_server_that_is_not_there_is_named():
    with pytest.raises(
        EngineError, match=r"engine 'arm' on grpc://127\.0\.0\.1:9: the connection is"
    ):
        open_arm("grpc://127.0.0.1:9")


def test_engines_need_the_token(serve, monkeypatch, tmp_path):
    address = serve(token="secret")
    refused = rf"engines\.arm\.host: {address} refuses the token: .*Set TROUPE_ENGINE_TOKEN"
    with pytest.raises(UserError, match=refused):
        open_arm(address)
    monkeypatch.setenv("TROUPE_ENGINE_TOKEN", "guessed")
    with pytest.raises(UserError, match=refused):
        open_arm(address)
    monkeypatch.setenv("TROUPE_ENGINE_TOKEN", "secret")
    open_arm(address).close()
    monkeypatch.delenv("TROUPE_ENGINE_TOKEN")
    file = tmp_path / "token"
    file.write_text("secret\n")
    monkeypatch.setenv("TROUPE_ENGINE_TOKEN_FILE", str(file))
    file.chmod(0o644)
    with pytest.raises(UserError, match="can be read by others: chmod 600"):
        open_arm(address)
    file.chmod(0o600)
    open_arm(address).close()


def test_a_service_that_others_reach_needs_a_token():
    with pytest.raises(UserError, match=r"'0\.0\.0\.0:0' can be reached by others"):
        EngineService("0.0.0.0:0")


def test_two_services_do_not_share_a_port(serve):
    taken = serve().removeprefix("grpc://")
    with pytest.raises(UserError, match=f"cannot listen at '{taken}'"):
        EngineService(taken)


def test_tls_keeps_others_out(serve, monkeypatch, tmp_path):
    files = ["-keyout", tmp_path / "key.pem", "-out", tmp_path / "cert.pem"]
    name = ["-subj", "/CN=localhost", "-addext", "subjectAltName=IP:127.0.0.1"]
    command = ["openssl", "req", "-x509", "-newkey", "rsa:2048", "-nodes", *files, *name]
    subprocess.run(command, check=True, capture_output=True)
    certificate = Certificate(
        (tmp_path / "cert.pem").read_bytes(), (tmp_path / "key.pem").read_bytes()
    )
    address = serve(certificate=certificate)
    assert address.startswith("grpcs://")
    with pytest.raises(EngineError, match=r"engine 'arm' on grpcs://.*: the connection is lost"):
        open_arm(address)  # nobody vouches for the certificate
    monkeypatch.setenv("TROUPE_ENGINE_CA", str(tmp_path / "no.pem"))
    with pytest.raises(UserError, match=r"file '.*no\.pem' cannot be read: No such file"):
        open_arm(address)
    monkeypatch.setenv("TROUPE_ENGINE_CA", str(tmp_path / "cert.pem"))
    engine = open_arm(address)
    engine.reset([0, 1])
    engine.advance(20_000_000)
    engine.close()
    with pytest.raises(EngineError, match="the connection is lost"):
        open_arm(address.replace("grpcs", "grpc"))
