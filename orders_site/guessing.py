"""Who failed to log in lately, so that nobody can try passwords without end."""

import ipaddress
import threading
import time
from collections.abc import Callable

from django.conf import settings
from django.http import HttpRequest

WINDOW_SECONDS = 300.0
MOST_ADDRESSES = 10_000


class Failures:
    """Counts failures by address, in this process alone and in bounded memory.

    Args:
        most: as many are forgiven within a window; the next must wait for the window's end.
        seconds: how long a window is; it begins with the first failure.
        clock: seconds that never go back.
    """

    def __init__(
        self,
        most: int,
        seconds: float = WINDOW_SECONDS,
        clock: Callable[[], float] = time.monotonic,
    ) -> None:
        self._most = most
        self._seconds = seconds
        self._clock = clock
        self._mutex = threading.Lock()
        # Address -> failures, and when its window ends.
        self._counts: dict[str, tuple[int, float]] = {}

    def wait(self, address: str) -> float:
        """The seconds until the address may try again; 0 if it may now."""
        count, end = self._counts.get(address, (0, 0.0))
        return max(0.0, end - self._clock()) if count >= self._most else 0.0

    def note(self, address: str) -> None:
        """The address failed once more."""
        now = self._clock()
        with self._mutex:
            count, end = self._counts.get(address, (0, 0.0))
            if now >= end:
                count, end = 0, now + self._seconds
                if len(self._counts) >= MOST_ADDRESSES:
                    self._counts = {
                        key: kept for key, kept in self._counts.items() if kept[1] > now
                    }
                if len(self._counts) >= MOST_ADDRESSES:
                    self._counts.clear()
            self._counts[address] = (count + 1, end)

    def clear(self) -> None:
        """Forget all of them."""
        with self._mutex:
            self._counts.clear()


login_failures = Failures(settings.LOGIN_FAILURES)


def address_of(request: HttpRequest) -> str:
    """Where a request comes from, as far as that can be believed: an IPv4 address or IPv6 network.

    Behind ORDERS_PROXIES proxies it is what the outermost of them wrote into X-Forwarded-For;
    what a client itself wrote there stands further left and is never read.
    """
    address = str(request.META.get("REMOTE_ADDR", ""))
    if settings.PROXIES:
        hops = request.META.get("HTTP_X_FORWARDED_FOR", "").split(",")
        address = hops[-min(settings.PROXIES, len(hops))].strip() or address
    try:
        parsed = ipaddress.ip_address(address)
    except ValueError:
        return "unknown"
    if parsed.version == 6:
        # A single host usually has a whole /64 to itself.
        return str(ipaddress.ip_network((parsed, 64), strict=False))
    return str(parsed)
