"""What surrounds every gRPC call: errors become statuses, connections are checked, load is shed."""

import logging
import threading
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from typing import Any

import grpc
from django.db import close_old_connections
from django_grpc_framework.signals import grpc_request_finished, grpc_request_started
from google.protobuf.message import DecodeError

from eventstore import metrics
from eventstore.client import wire
from eventstore.client.errors import EventStoreError, VersionConflict
from eventstore.proto import eventstore_pb2

SERVICE_PREFIX = f"/{eventstore_pb2.DESCRIPTOR.services_by_name['EventStore'].full_name}/"

# `Edge` checks connections, once a call; the framework would before and after each, and for a
# stream in its midst.
grpc_request_started.disconnect(close_old_connections)
grpc_request_finished.disconnect(close_old_connections)

logger = logging.getLogger(__name__)
# grpc has no type stubs.
Handler = Any
Continuation = Callable[[Any], Handler]


class _Malformed:
    """Stands for a request that could not be parsed."""


def _parser(parse: Callable[[bytes], Any]) -> Callable[[bytes], Any]:
    """As `parse`, but what gRPC would answer with INTERNAL comes out as `_Malformed`."""

    def tolerant(body: bytes) -> Any:
        try:
            return parse(body)
        except DecodeError:
            return _Malformed()

    return tolerant


class Edge(grpc.ServerInterceptor):
    """Around every call of the event store's own service.

    Every exception leaves as a status by its class (`wire.STATUS`); one that is not listed as
    INTERNAL with a fixed text, and with its traceback in the log only. The thread's database
    connections are checked after the call, which for a stream is after its last message: the
    framework's own signal fires before a stream's first one.
    """

    def intercept_service(self, continuation: Continuation, details: Any) -> Handler:
        handler = continuation(details)
        if handler is None or not details.method.startswith(SERVICE_PREFIX):
            return handler
        method = details.method.removeprefix(SERVICE_PREFIX)
        if handler.unary_stream:
            return grpc.unary_stream_rpc_method_handler(
                _streaming(method, handler.unary_stream),
                _parser(handler.request_deserializer),
                handler.response_serializer,
            )
        return grpc.unary_unary_rpc_method_handler(
            _unary(method, handler.unary_unary),
            _parser(handler.request_deserializer),
            handler.response_serializer,
        )


def _unary(method: str, call: Callable[[Any, Any], Any]) -> Callable[[Any, Any], Any]:
    def answer(request: Any, context: grpc.ServicerContext) -> Any:
        with _edge(method, request, context):
            return call(request, context)

    return answer


def _streaming(method: str, call: Callable[[Any, Any], Any]) -> Callable[[Any, Any], Any]:
    def answers(request: Any, context: grpc.ServicerContext) -> Iterator[Any]:
        with _edge(method, request, context):
            for message in call(request, context):
                yield message
                if not context.is_active():
                    return

    return answers


@contextmanager
def _edge(method: str, request: Any, context: grpc.ServicerContext) -> Iterator[None]:
    """Refuse what should not be started; turn what is raised inside into a status."""
    began = time.monotonic()
    try:
        _check(request, context)
        yield
    except EventStoreError as error:
        _abort(context, method, error)
    except Exception:
        if context.code() is None:
            logger.exception("%s failed", method)
            context.abort(grpc.StatusCode.INTERNAL, "the event store failed; its log says why")
        raise
    finally:
        close_old_connections()
        metrics.SECONDS.labels(method).observe(time.monotonic() - began)
        metrics.CALLS.labels(method, (context.code() or grpc.StatusCode.OK).name).inc()


def _check(request: Any, context: grpc.ServicerContext) -> None:
    if isinstance(request, _Malformed):
        context.abort(grpc.StatusCode.INVALID_ARGUMENT, "the request is not a message of this call")
    remaining = context.time_remaining()
    if remaining is not None and remaining <= 0:
        context.abort(
            grpc.StatusCode.DEADLINE_EXCEEDED, "the deadline passed before the call began"
        )
    if not context.is_active():
        context.abort(grpc.StatusCode.CANCELLED, "the caller went away before the call began")


def _abort(context: grpc.ServicerContext, method: str, error: EventStoreError) -> None:
    code = wire.STATUS.get(type(error))
    if code is None:
        logger.error("%s raised %s, which has no status", method, type(error).__name__)
        context.abort(grpc.StatusCode.INTERNAL, "the event store failed; its log says why")
    if isinstance(error, VersionConflict) and error.actual_version is not None:
        context.set_trailing_metadata(((wire.ACTUAL_VERSION, str(error.actual_version)),))
    context.abort(code, str(error))


class StreamCap(grpc.ServerInterceptor):
    """At most `most` streams at a time, since each holds a thread for as long as it is open.

    Health watches are left out: they hold none.
    """

    def __init__(self, most: int) -> None:
        self._free = threading.Semaphore(most)

    def intercept_service(self, continuation: Continuation, details: Any) -> Handler:
        handler = continuation(details)
        if handler is None or details.method.startswith("/grpc.health."):
            return handler
        if handler.unary_stream:
            return grpc.unary_stream_rpc_method_handler(
                self._capped(handler.unary_stream),
                handler.request_deserializer,
                handler.response_serializer,
            )
        if handler.stream_stream:
            return grpc.stream_stream_rpc_method_handler(
                self._capped(handler.stream_stream),
                handler.request_deserializer,
                handler.response_serializer,
            )
        return handler

    def _capped(self, call: Callable[[Any, Any], Any]) -> Callable[[Any, Any], Any]:
        def answers(request: Any, context: grpc.ServicerContext) -> Iterator[Any]:
            if not self._free.acquire(blocking=False):
                context.abort(grpc.StatusCode.RESOURCE_EXHAUSTED, "too many open streams")
            try:
                yield from call(request, context)
            finally:
                self._free.release()

        return answers
