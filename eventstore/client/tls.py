"""Mutual TLS between the event store and its clients: one CA, a certificate on each side."""

from dataclasses import dataclass
from pathlib import Path
from typing import Any

import grpc

SETTINGS = ("EVENTSTORE_TLS_CERTIFICATE", "EVENTSTORE_TLS_KEY", "EVENTSTORE_TLS_CA")


class TlsMisconfigured(Exception):
    """The files of mutual TLS are not all given, or can't be read; the text says which."""


@dataclass(frozen=True, kw_only=True)
class Tls:
    """One side's certificate and key, and the CA that signs the other side's (PEM)."""

    certificate: bytes
    key: bytes
    ca: bytes

    @classmethod
    def read(cls, certificate: str, key: str, ca: str) -> "Tls":
        """From files; raises TlsMisconfigured."""
        try:
            return cls(
                certificate=Path(certificate).read_bytes(),
                key=Path(key).read_bytes(),
                ca=Path(ca).read_bytes(),
            )
        except OSError as error:
            raise TlsMisconfigured(f"cannot read {error.filename}: {error.strerror}") from error

    @classmethod
    def from_settings(cls) -> "Tls | None":
        """Of Django's settings; None if none of them is set. Raises TlsMisconfigured."""
        from django.conf import settings

        files = {name: getattr(settings, name) for name in SETTINGS}
        if not any(files.values()):
            return None
        if missing := [f"ORDERS_{name}" for name, file in files.items() if not file]:
            raise TlsMisconfigured(f"mutual TLS needs {' and '.join(missing)} too")
        return cls.read(*files.values())

    def server_credentials(self) -> Any:
        """Show the certificate, and take only clients that show one of the CA's."""
        return grpc.ssl_server_credentials(
            [(self.key, self.certificate)], root_certificates=self.ca, require_client_auth=True
        )

    def client_credentials(self) -> Any:
        """Show the certificate, and trust only a server with one of the CA's."""
        return grpc.ssl_channel_credentials(self.ca, self.key, self.certificate)
