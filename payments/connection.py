"""The process's one payment gateway, opened when first used."""

import threading

from payments.gateways.port import PaymentGateway

_lock = threading.Lock()
_gateway: PaymentGateway | None = None


def payment_gateway() -> PaymentGateway:
    """The gateway of the settings (GATEWAY_URL), or the one given to `use`."""
    global _gateway
    with _lock:
        if _gateway is None:
            from django.conf import settings

            from payments.gateways.http import HttpGateway

            _gateway = HttpGateway(
                settings.GATEWAY_URL, settings.GATEWAY_API_KEY, settings.GATEWAY_TIMEOUT_SECONDS
            )
        return _gateway


def use(gateway: PaymentGateway | None) -> None:
    """Make `gateway` the process's gateway; None goes back to the settings' one."""
    global _gateway
    with _lock:
        _gateway = gateway
