"""What a subscription does about events that NATS keeps no more: it reads them from the log."""

import logging
import time
from collections.abc import Callable, Sequence
from itertools import islice

from eventstore.client.events import Event
from eventstore.client.notice import headers_of, subject_of
from eventstore.client.subscribing.binding import Binding
from eventstore.client.subscribing.checkpointing import Checkpoints
from eventstore.client.subscribing.delivery import Delivery, Done, Verdict
from eventstore.client.subscribing.desk import Desk
from eventstore.client.subscription import Reactor, Subscription

logger = logging.getLogger("eventstore.subscriber")

PAGE = 200
# The messages that were fetched meanwhile wait, and would be delivered again.
LONGEST_SECONDS = 5.0


class CatchingUp:
    """Works on events between the checkpoint and the first that the stream has.

    The consumer knows nothing of them: it goes on with what is there, and so would the
    checkpoint. They may have been worked on, which does no harm.
    """

    def __init__(self, subscription: Subscription, desk: Desk) -> None:
        self._subscription = subscription
        self._desk = desk
        self._checkpoints = Checkpoints(subscription)
        self._telling = False

    def up_to(self, first: int, binding: Binding) -> int:
        """Work for a while; how many events are left before `first`, which is on the stream.

        The checkpoint moves along. Raises what `is_outage` knows as an outage.
        """
        deadline = time.monotonic() + LONGEST_SECONDS
        while (left := self._left(first)) and time.monotonic() < deadline:
            if not self._telling:
                self._telling = True
                logger.info("%s: reading %d events from the log", self._subscription.worker, left)
            if not self._page(first, left, binding):
                break
        self._telling = bool(left)
        return left

    def _left(self, first: int) -> int:
        row = self._checkpoints.read()
        return max(0, first - 1 - row.position) if row is not None else 0

    def _page(self, first: int, left: int, binding: Binding) -> bool:
        """Whether all of the next events are dealt with."""
        begin = first - left
        page = list(
            islice(
                self._subscription.store.read_stream(
                    begin, stream=self._subscription.stream, limit=min(left, PAGE)
                ),
                PAGE,
            )
        )
        if not page:
            return False
        undone = self._work(page, binding)
        reached = (min(undone) if undone else page[-1].position + 1) - 1
        self._checkpoints.advance(binding.log_id, reached)
        return not undone

    def _work(self, page: Sequence[Event], binding: Binding) -> set[int]:
        """The positions of those that have to be tried again."""
        wanted = self._wanted()
        deliveries = [
            Delivery(
                sequence=event.position,
                subject=subject_of(event.stream, event.event_type),
                headers=headers_of(event, binding.log_id),
                data=event.data.encode(),
            )
            for event in page
            if wanted(event)
        ]
        undone = {delivery.sequence for delivery in deliveries}

        def settle(delivery: Delivery, verdict: Verdict) -> None:
            if isinstance(verdict, Done):
                undone.discard(delivery.sequence)

        self._desk.handle(deliveries, settle, whole=True)
        return undone

    def _wanted(self) -> Callable[[Event], bool]:
        match self._subscription.handler:
            case Reactor(reactions):
                return lambda event: event.event_type in reactions
            case projector:
                types = frozenset(projector.aggregate_types)
                return lambda event: event.aggregate_type in types
