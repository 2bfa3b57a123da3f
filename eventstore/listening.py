"""The address that a server is to listen on, looked at before the server does."""

import errno
import socket


class CannotListen(Exception):
    """Why not, in words for the operator."""


def address_to_listen_on(host: str, port: int) -> str:
    """The IP address of `host`, whose port nobody else has.

    To be asked of servers that would share the port with another in silence (SO_REUSEPORT).

    Raises:
        CannotListen: there is no such address here, or its port is taken.
    """
    try:
        family, kind, protocol, _, address = socket.getaddrinfo(
            host, port, type=socket.SOCK_STREAM, flags=socket.AI_PASSIVE
        )[0]
        with socket.socket(family, kind, protocol) as probe:
            probe.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
            probe.bind(address)
    except (OSError, UnicodeError) as error:
        taken = isinstance(error, OSError) and error.errno == errno.EADDRINUSE
        reason = "it is taken by another program" if taken else error
        raise CannotListen(f"cannot listen on {host!r}, port {port}: {reason}") from error
    return str(address[0])
