"""The gRPC channel to the event store: opened when first used, once per process."""

import os
import threading
from collections.abc import Callable
from typing import Any

import grpc

from eventstore.client import wire
from eventstore.client.tls import Tls
from eventstore.proto.eventstore_pb2_grpc import EventStoreStub

OPTIONS = [
    ("grpc.max_receive_message_length", wire.MAX_MESSAGE_BYTES),
    # The event store is a neighbour: never ask the environment for a proxy to it.
    ("grpc.enable_http_proxy", 0),
    # A server that vanished without a word is noticed within 15 s, one that is back within 2 s.
    ("grpc.keepalive_time_ms", 10_000),
    ("grpc.keepalive_timeout_ms", 5_000),
    ("grpc.http2.max_pings_without_data", 0),
    ("grpc.initial_reconnect_backoff_ms", 100),
    ("grpc.min_reconnect_backoff_ms", 500),
    ("grpc.max_reconnect_backoff_ms", 2_000),
    # Each channel its own connection, so that closing one does not outlive in another.
    ("grpc.use_local_subchannel_pool", 1),
]


class LazyChannel:
    """The stub over one channel, safe to share between threads, opened again after a fork."""

    def __init__(self, address: str, tls: Tls | None = None) -> None:
        self._address = address
        self._tls = tls
        self._lock = threading.Lock()
        self._process: int | None = None
        self._channel: Any = None
        self._stub: Any = None

    def method(self, name: str) -> Callable[..., Any]:
        """The call of this name."""
        if self._process != os.getpid():
            self._open()
        return getattr(self._stub, name)

    def _open(self) -> None:
        with self._lock:
            if self._process == os.getpid():
                return
            # A parent's channel is dead in its child: it is left alone, never closed from here.
            if self._tls:
                credentials = self._tls.client_credentials()
                self._channel = grpc.secure_channel(self._address, credentials, OPTIONS)
            else:
                self._channel = grpc.insecure_channel(self._address, OPTIONS)
            self._stub = EventStoreStub(self._channel)
            self._process = os.getpid()

    def close(self) -> None:
        """Cut off what runs; the next call opens a new channel."""
        with self._lock:
            if self._process == os.getpid():
                self._channel.close()
            self._process = None
