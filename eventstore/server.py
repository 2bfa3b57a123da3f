"""The gRPC server around the service: its threads, bounds, health, reflection and TLS."""

import threading
from concurrent.futures import ThreadPoolExecutor

import grpc
from grpc_health.v1 import health, health_pb2, health_pb2_grpc
from grpc_reflection.v1alpha import reflection

from eventstore.client import wire
from eventstore.client.tls import Tls
from eventstore.interceptors import Edge, StreamCap
from eventstore.listening import CannotListen, address_to_listen_on
from eventstore.proto import eventstore_pb2, eventstore_pb2_grpc
from eventstore.service import EventStoreService
from eventstore.store import SqlEventStore

SERVICE = eventstore_pb2.DESCRIPTOR.services_by_name["EventStore"].full_name
# Calls that wait for a thread; above that the next one is refused.
QUEUED_CALLS_PER_THREAD = 3

OPTIONS = [
    # Otherwise a second server on the same port would silently get a share of the calls.
    ("grpc.so_reuseport", 0),
    ("grpc.max_receive_message_length", wire.MAX_MESSAGE_BYTES),
    ("grpc.max_send_message_length", wire.MAX_MESSAGE_BYTES),
    # A peer that vanished without a word is noticed within 15 s, and may itself look as often.
    ("grpc.keepalive_time_ms", 10_000),
    ("grpc.keepalive_timeout_ms", 5_000),
    ("grpc.keepalive_permit_without_calls", 1),
    ("grpc.http2.min_ping_interval_without_data_ms", 5_000),
]


class EventStoreServer:
    """Serves a store over gRPC, from `start` to `stop`.

    Args:
        host: a name or address to listen on.
        port: 0 takes a free one; the attribute `port` says which.
        threads: that work on calls; half of them may be held by open streams.
        reflection: let clients ask for the contract.
        tls: mutual TLS; without it the server speaks plain text.

    Raises:
        CannotListen: by the constructor.
    """

    def __init__(
        self,
        store: SqlEventStore,
        host: str,
        port: int,
        *,
        threads: int = 32,
        reflection: bool = False,
        tls: Tls | None = None,
    ) -> None:
        self.store = store
        self._draining = threading.Event()
        self._pool = ThreadPoolExecutor(threads, thread_name_prefix="grpc")
        self._server = grpc.server(
            self._pool,
            interceptors=[Edge(), StreamCap(max(1, threads // 2))],
            options=OPTIONS,
            maximum_concurrent_rpcs=threads * (1 + QUEUED_CALLS_PER_THREAD),
        )
        self._health = health.HealthServicer()
        self._add_services(reflection)
        self.set_serving(False)
        self.port = self._listen(host, port, tls)

    def _add_services(self, with_reflection: bool) -> None:
        servicer = EventStoreService.as_servicer(store=self.store, draining=self._draining)
        eventstore_pb2_grpc.add_EventStoreServicer_to_server(servicer, self._server)
        health_pb2_grpc.add_HealthServicer_to_server(self._health, self._server)
        if with_reflection:
            names = (SERVICE, health.SERVICE_NAME, reflection.SERVICE_NAME)
            reflection.enable_server_reflection(names, self._server)

    def _listen(self, host: str, port: int, tls: Tls | None) -> int:
        # gRPC would only say it in its own log.
        address_to_listen_on(host, port)
        address = f"[{host}]:{port}" if ":" in host else f"{host}:{port}"
        try:
            if tls:
                return self._server.add_secure_port(address, tls.server_credentials())
            return self._server.add_insecure_port(address)
        except RuntimeError as error:
            raise CannotListen(f"cannot listen on {address}") from error

    def start(self) -> None:
        """Take calls; health says SERVING only once `set_serving` said so."""
        self._server.start()

    def set_serving(self, serving: bool) -> None:
        """What the health service answers, for the service and for the server as a whole."""
        status = health_pb2.HealthCheckResponse
        for name in (health.OVERALL_HEALTH, SERVICE):
            self._health.set(name, status.SERVING if serving else status.NOT_SERVING)

    def stop(self, grace_seconds: float = 8.0) -> bool:
        """Take no more calls, let those that run finish, cut off what is left after the grace.

        Returns whether all ended; a call that the database holds up does not.
        """
        self._health.enter_graceful_shutdown()
        self._draining.set()
        self.store.commits.wake()
        ended = self._server.stop(grace_seconds).wait(grace_seconds + 1)
        if ended:
            self._pool.shutdown()
            self.store.database.close()
        return ended
