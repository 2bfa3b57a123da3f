"""The plain way behind a gRPC server of the same kind: `python -m benchmarks.plain.server PORT`."""

import os
import signal
import sys
import threading
from concurrent.futures import ThreadPoolExecutor
from typing import Any

import django
import grpc
from grpc_health.v1 import health, health_pb2, health_pb2_grpc

THREADS = 32


def main() -> None:
    """Serve until SIGTERM."""
    os.environ["DJANGO_SETTINGS_MODULE"] = "benchmarks.settings"
    django.setup()
    from benchmarks.plain.tables import create_missing
    from eventstore.proto import eventstore_pb2_grpc

    create_missing()
    stop = threading.Event()
    signal.signal(signal.SIGTERM, lambda *_: stop.set())
    server = grpc.server(ThreadPoolExecutor(THREADS), options=[("grpc.so_reuseport", 0)])
    eventstore_pb2_grpc.add_EventStoreServicer_to_server(_servicer(), server)
    checks = health.HealthServicer()
    checks.set(health.OVERALL_HEALTH, health_pb2.HealthCheckResponse.SERVING)
    health_pb2_grpc.add_HealthServicer_to_server(checks, server)
    server.add_insecure_port(f"127.0.0.1:{int(sys.argv[1])}")
    server.start()
    stop.wait()
    server.stop(2).wait()


def _servicer() -> Any:
    from benchmarks.plain import models
    from eventstore.client import wire
    from eventstore.proto import eventstore_pb2 as pb
    from eventstore.proto import eventstore_pb2_grpc

    class PlainService(eventstore_pb2_grpc.EventStoreServicer):
        def CreateEvent(self, request: pb.CreateEventRequest, context: Any) -> Any:
            models.append(wire.new_event(request.event))
            return pb.CreateEventResponse(is_success=True)

    return PlainService()


if __name__ == "__main__":
    main()
