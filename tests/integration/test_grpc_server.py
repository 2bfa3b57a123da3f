"""The gRPC server around the service: load, streams left open, health, TLS and the end."""

import contextlib
import subprocess
import threading
import time
from collections.abc import Iterator
from contextlib import ExitStack, closing
from pathlib import Path

import grpc
import psycopg
import pytest
from django.db import connections
from grpc_health.v1 import health_pb2, health_pb2_grpc
from grpc_reflection.v1alpha import reflection_pb2, reflection_pb2_grpc

from eventstore.client import Overloaded, Unavailable, wire
from eventstore.client.remote import RemoteEventStore
from eventstore.client.tls import Tls, TlsMisconfigured
from eventstore.listening import CannotListen
from eventstore.proto import eventstore_pb2 as pb
from eventstore.proto.eventstore_pb2_grpc import EventStoreStub
from eventstore.server import SERVICE, EventStoreServer
from eventstore.store import SqlEventStore
from tests.contract import stores
from tests.contract.new_events import new_event, new_events
from tests.together import eventually

pytestmark = pytest.mark.django_db(databases=["eventstore"], transaction=True)
Code = grpc.StatusCode
TIMEOUT = 20


@pytest.fixture
def store() -> Iterator[SqlEventStore]:
    with stores.sql() as store:
        yield store


@pytest.fixture
def locked_head(store) -> Iterator[psycopg.Connection]:
    """Another session that holds the head of ORDERS, so that appends wait."""
    parameters = connections["eventstore"].get_connection_params()
    with psycopg.connect(
        **{key: parameters[key] for key in ("dbname", "user", "host", "port")}
    ) as session:
        session.execute("SELECT 1 FROM eventstore_stream WHERE name = 'ORDERS' FOR UPDATE")
        yield session
        session.rollback()


def channel_to(server: EventStoreServer) -> grpc.Channel:
    return grpc.insecure_channel(f"127.0.0.1:{server.port}")


def append_request(aggregate_id: str = "a") -> pb.AppendEventsRequest:
    return pb.AppendEventsRequest(events=[wire.new_event_message(new_event(aggregate_id))])


# -- Load


def ended(stream: grpc.Call) -> bool:
    """Whether the stream could be read to its end."""
    with contextlib.suppress(grpc.RpcError):
        list(stream)
    return stream.code() == Code.OK


def test_calls_beyond_what_the_server_takes_on_are_refused_at_once(store, locked_head):
    with stores.serving(store, threads=1) as server, channel_to(server) as channel:
        stub = EventStoreStub(channel)
        calls = [stub.AppendEvents.future(append_request(), timeout=TIMEOUT) for _ in range(20)]
        eventually(lambda: sum(call.done() for call in calls) >= 16)
        assert {call.code() for call in calls if call.done()} == {Code.RESOURCE_EXHAUSTED}
        waiting = [call for call in calls if not call.done()]
        assert waiting

        locked_head.rollback()
        assert len([call.result() for call in waiting]) == len(waiting)
    assert store.head().position == len(waiting)


def test_a_call_whose_deadline_passed_in_the_queue_is_not_begun(store, locked_head):
    with stores.serving(store, threads=1) as server, channel_to(server) as channel:
        stub = EventStoreStub(channel)
        first = stub.AppendEvents.future(append_request("first"), timeout=TIMEOUT)
        locks_waited_for = "SELECT count(*) FROM pg_locks WHERE NOT granted"
        eventually(lambda: locked_head.execute(locks_waited_for).fetchone()[0])
        late = stub.AppendEvents.future(append_request("late"), timeout=0.1)
        assert late.exception().code() == Code.DEADLINE_EXCEEDED

        locked_head.rollback()
        first.result()
        stub.AppendEvents(append_request("next"), timeout=TIMEOUT)
    assert [event.aggregate_id for event in store.read_stream()] == ["first", "next"]


def test_streams_left_open_are_capped_and_leave_threads_for_calls(store):
    store.append(new_events(1, "a"))
    with stores.serving(store, threads=4) as server, channel_to(server) as channel:
        stub = EventStoreStub(channel)
        follow = pb.ReadStreamRequest(follow=True)
        left_open = [stub.ReadStream(follow) for _ in range(2)]
        for stream in left_open:
            next(stream)

        for call, request in (
            (stub.ReadStream, follow),
            (stub.GetEventsStream, pb.GetEventsRequest()),
        ):
            assert call(request, timeout=TIMEOUT).code() == Code.RESOURCE_EXHAUSTED
        assert stub.GetStreamHead(pb.GetStreamHeadRequest(), timeout=TIMEOUT).position == 1

        left_open[0].cancel()
        eventually(lambda: ended(stub.ReadStream(pb.ReadStreamRequest(), timeout=TIMEOUT)))


def test_a_client_tells_a_shed_stream_from_an_end(store):
    store.append([new_event("a")])
    with stores.serving(store, threads=2) as server:
        with closing(RemoteEventStore(f"127.0.0.1:{server.port}")) as client:
            followed = client.read_stream(follow=True)
            next(followed)

            with pytest.raises(Overloaded):
                list(client.read_stream(follow=True))
            followed.close()


# -- Health and reflection


def check(channel: grpc.Channel, service: str = "") -> int:
    request = health_pb2.HealthCheckRequest(service=service)
    return health_pb2_grpc.HealthStub(channel).Check(request, timeout=TIMEOUT).status


def test_health_says_whether_the_server_serves(store):
    serving = health_pb2.HealthCheckResponse.SERVING
    with stores.serving(store) as server, channel_to(server) as channel:
        assert [check(channel), check(channel, SERVICE)] == [serving, serving]
        server.set_serving(False)
        away = health_pb2.HealthCheckResponse.NOT_SERVING
        assert [check(channel), check(channel, SERVICE)] == [away, away]
        server.set_serving(True)
        assert check(channel) == serving


def services(channel: grpc.Channel) -> list[str]:
    request = reflection_pb2.ServerReflectionRequest(list_services="")
    stub = reflection_pb2_grpc.ServerReflectionStub(channel)
    (answer,) = stub.ServerReflectionInfo(iter([request]), timeout=TIMEOUT)
    return [service.name for service in answer.list_services_response.service]


def test_reflection_tells_the_contract_when_it_is_on(store):
    with stores.serving(store, reflection=True) as server, channel_to(server) as channel:
        assert SERVICE in services(channel)
    with stores.serving(store) as server, channel_to(server) as channel:
        with pytest.raises(grpc.RpcError) as refusal:
            services(channel)
        assert refusal.value.code() == Code.UNIMPLEMENTED


# -- The port


def test_a_port_that_is_taken_is_said_to_be_taken(store):
    with stores.serving(store) as server:
        with pytest.raises(CannotListen, match="taken by another program"):
            EventStoreServer(store, "127.0.0.1", server.port)


def test_an_address_that_is_not_ours_is_refused(store):
    with pytest.raises(CannotListen, match="cannot listen on"):
        EventStoreServer(store, "203.0.113.1", 7051)


# -- The end


def test_a_server_that_stops_finishes_what_it_began(store, locked_head):
    server = EventStoreServer(store, "127.0.0.1", 0)
    server.start()
    with channel_to(server) as channel:
        call = EventStoreStub(channel).AppendEvents.future(append_request(), timeout=TIMEOUT)
        locks_waited_for = "SELECT count(*) FROM pg_locks WHERE NOT granted"
        eventually(lambda: locked_head.execute(locks_waited_for).fetchone()[0])
        release = threading.Timer(0.3, locked_head.rollback)
        release.start()

        assert server.stop(5)
        assert list(call.result().positions) == [1]
        release.join()


def test_a_server_that_stops_sends_its_followers_away(store):
    server = EventStoreServer(store, "127.0.0.1", 0)
    server.start()
    store.append([new_event("a")])
    with channel_to(server) as channel:
        followed = EventStoreStub(channel).ReadStream(pb.ReadStreamRequest(follow=True))
        next(followed)
        began = time.monotonic()

        assert server.stop(10)
        assert time.monotonic() - began < 5
        assert followed.code() == Code.UNAVAILABLE


def test_a_client_goes_on_following_when_the_server_is_back(store):
    store.append([new_event("a")])
    with ExitStack() as stack:
        server = EventStoreServer(store, "127.0.0.1", 0)
        server.start()
        client = stack.enter_context(closing(RemoteEventStore(f"127.0.0.1:{server.port}")))
        followed = client.read_stream(follow=True)
        assert next(followed).position == 1
        assert server.stop(5)

        again = EventStoreServer(store, "127.0.0.1", server.port)
        again.start()
        stack.callback(again.stop, 5)
        store.append([new_event("a")])
        assert next(followed).position == 2
        followed.close()


def test_a_server_that_is_away_is_unavailable_in_time():
    with closing(RemoteEventStore("127.0.0.1:1", timeout_seconds=1.0)) as client:
        for call in (
            client.head,
            lambda: client.append([new_event("a")]),
            lambda: client.read_aggregate("a"),
            lambda: list(client.read_many([("a", 1)])),
            lambda: list(client.read_stream()),
        ):
            began = time.monotonic()
            with pytest.raises(Unavailable):
                call()
            assert time.monotonic() - began < 4


# -- Mutual TLS


@pytest.fixture(scope="module")
def certificates(tmp_path_factory) -> Path:
    """A CA, a certificate for the server and one for a client, and a stranger's of another CA."""
    folder = tmp_path_factory.mktemp("certificates")

    def openssl(*words: str) -> None:
        subprocess.run(["openssl", *words], cwd=folder, check=True, capture_output=True)

    curve = ["-newkey", "ec", "-pkeyopt", "ec_paramgen_curve:P-256", "-nodes"]
    for ca, names in (("ca", ["server", "client"]), ("other", ["stranger"])):
        subject = ["-subj", f"/CN={ca}", "-days", "2"]
        openssl("req", "-x509", *curve, "-keyout", f"{ca}.key", "-out", f"{ca}.pem", *subject)
        for name in names:
            request = ["-keyout", f"{name}.key", "-out", f"{name}.csr", "-subj", f"/CN={name}"]
            openssl("req", *curve, *request)
            (folder / "san").write_text("subjectAltName=DNS:localhost,IP:127.0.0.1\n")
            signed = ["-in", f"{name}.csr", "-out", f"{name}.pem", "-days", "2", "-extfile", "san"]
            by = ["-CA", f"{ca}.pem", "-CAkey", f"{ca}.key", "-CAcreateserial"]
            openssl("x509", "-req", *signed, *by)
    return folder


def test_only_a_client_with_a_certificate_of_the_ca_gets_in(store, certificates):
    def files(name: str, ca: str = "ca") -> list[str]:
        return [str(certificates / file) for file in (f"{name}.pem", f"{name}.key", f"{ca}.pem")]

    with stores.serving(store, tls=Tls.read(*files("server"))) as server:
        address = f"127.0.0.1:{server.port}"
        known = RemoteEventStore(address, tls=Tls.read(*files("client")))
        stranger = RemoteEventStore(address, 1.0, tls=Tls.read(*files("stranger")))
        distrustful = RemoteEventStore(address, 1.0, tls=Tls.read(*files("client", "other")))
        plain = RemoteEventStore(address, 1.0)
        with closing(known), closing(stranger), closing(distrustful), closing(plain):
            assert known.append([new_event("a")]).positions == (1,)
            for refused in (stranger, distrustful, plain):
                with pytest.raises(Unavailable):
                    refused.head()


@pytest.mark.parametrize("given", ["CERTIFICATE", "KEY", "CA"])
def test_half_of_the_tls_settings_never_means_plain_text(settings, given):
    setattr(settings, f"EVENTSTORE_TLS_{given}", __file__)

    with pytest.raises(TlsMisconfigured, match="mutual TLS needs ORDERS_EVENTSTORE_TLS_"):
        RemoteEventStore.from_settings()


def test_a_certificate_that_cannot_be_read_is_named(settings):
    for name in ("CERTIFICATE", "KEY", "CA"):
        setattr(settings, f"EVENTSTORE_TLS_{name}", f"/nowhere/{name}.pem")

    with pytest.raises(TlsMisconfigured, match=r"/nowhere/CERTIFICATE\.pem"):
        RemoteEventStore.from_settings()
