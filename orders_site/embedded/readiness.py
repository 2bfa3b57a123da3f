"""Whether each of our processes is ready to work, asked the way its users would."""

import asyncio
import json
import time
import urllib.error
import urllib.request
from collections.abc import Callable
from pathlib import Path

Probe = Callable[[], bool]


def at_most_every(seconds: float, probe: Probe) -> Probe:
    """The probe, asked no more often than that: for probes that cost a connection."""
    last = -seconds

    def spaced() -> bool:
        nonlocal last
        if time.monotonic() - last < seconds:
            return False
        ready = probe()
        last = time.monotonic()
        return ready

    return spaced


def http_ok(url: str) -> Probe:
    """The address answers 200."""

    def probe() -> bool:
        try:
            with urllib.request.urlopen(url, timeout=2) as response:  # noqa: S310 - our own URL
                return bool(response.status == 200)
        except (urllib.error.URLError, OSError):
            return False

    return at_most_every(0.1, probe)


def grpc_serving(address: str) -> Probe:
    """The gRPC health service says SERVING."""

    def probe() -> bool:
        import grpc
        from grpc_health.v1 import health_pb2, health_pb2_grpc

        with grpc.insecure_channel(address) as channel:
            try:
                health = health_pb2_grpc.HealthStub(channel)
                reply = health.Check(health_pb2.HealthCheckRequest(), timeout=1)
            except grpc.RpcError:
                return False
        return bool(reply.status == health_pb2.HealthCheckResponse.SERVING)

    return at_most_every(0.2, probe)


def subscribed(nats_url: str, stream: str, durable: str, workers: int = 1) -> Probe:
    """So many workers of the subscription wait for messages (or have some in hand)."""

    async def busy() -> bool:
        import nats

        connection = await nats.connect(
            nats_url, connect_timeout=1, allow_reconnect=False, error_cb=_ignore
        )
        try:
            info = await connection.jetstream().consumer_info(stream, durable, timeout=1)
            return (info.num_waiting or 0) >= workers or bool(info.num_ack_pending)
        finally:
            await connection.close()

    def probe() -> bool:
        import nats.errors

        try:
            return asyncio.run(busy())
        except (nats.errors.Error, OSError, TimeoutError):
            return False

    return at_most_every(0.5, probe)


async def _ignore(error: Exception) -> None:
    pass


def told(ready_file: Path, pid_file: Path) -> Probe:
    """The process that the supervisor wrote down has written its id into a file, being ready.

    To ask a Celery worker through its broker would need all of Celery in the supervisor.
    """

    def probe() -> bool:
        try:
            return int(ready_file.read_text()) == int(json.loads(pid_file.read_text())["pid"])
        except (OSError, ValueError):
            return False

    return probe
