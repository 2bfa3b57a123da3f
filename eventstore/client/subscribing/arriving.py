"""Messages as they arrive from NATS, taken out of the stream of bytes for one subscription."""

from collections.abc import Callable

from nats.aio.client import Client
from nats.aio.msg import Msg
from nats.protocol.parser import AWAITING_CONTROL_LINE, Parser

Take = Callable[[Msg], None]

_HEADED = b"HMSG "
_END = b"\r\n"
_VERSION = b"NATS/1.0\r\n"


class Arrivals(Parser):
    """nats-py's parser, which takes out the messages of one subscription itself.

    With a notice's headers it would go a long way through regular expressions, header parsing,
    queue and task; here it is cut out of the bytes. What is not such a message (the server's own
    words, which have no headers but a status, too) goes nats-py's way to the subscription's
    callback.
    """

    def __init__(self, client: Client, subscription: int, take: Take) -> None:
        super().__init__(client)
        # What has arrived on the connection so far stays where it was.
        vars(self).update(vars(client._ps))
        self._subscription = str(subscription).encode()
        self._take = take

    async def parse(self, data: bytes = b"") -> None:
        """See nats-py."""
        self.buf.extend(data)
        if self.state == AWAITING_CONTROL_LINE and self.buf.startswith(_HEADED):
            received = bytes(self.buf)
            start, whole = self._take_from(received)
            del self.buf[:start]
            if not whole:
                return
        await super().parse()

    def _take_from(self, received: bytes) -> tuple[int, bool]:
        """Where the messages end that were taken, and whether what follows is not one in part."""
        start = 0
        while received.startswith(_HEADED, start):
            line = received.find(_END, start)
            words = received[start + len(_HEADED) : line].split() if line >= 0 else []
            # HMSG <subject> <sid> <reply> <bytes of headers> <bytes of headers and data>
            if len(words) != 5 or words[1] != self._subscription:
                break
            headers = line + len(_END)
            body, end = headers + int(words[3]), headers + int(words[4])
            if len(received) < end + len(_END):
                return start, False
            if not received.startswith(_VERSION, headers):
                break
            self._take(
                Msg(
                    _client=self.nc,
                    subject=words[0].decode(errors="replace"),
                    reply=words[2].decode(),
                    data=received[body:end],
                    headers=_parsed(received[headers + len(_VERSION) : body]),
                )
            )
            start = end + len(_END)
        return start, True


def _parsed(lines: bytes) -> dict[str, str]:
    parts = (line.partition(":") for line in lines.decode(errors="replace").split("\r\n") if line)
    return {name.strip(): value.strip() for name, colon, value in parts if colon}
