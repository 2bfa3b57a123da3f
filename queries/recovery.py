"""The query models after the log lost its end: written anew from what it has."""

from collections.abc import Callable

from eventstore.client.subscribing.recovering import Recovered, adopt, resolve_lost
from queries.models import DATABASE, Checkpoint, ParkedMessage
from queries.rebuilding import Rebuild


def recover(recovered: Recovered, say: Callable[[str], object]) -> int:
    """Rebuild the query models; how many orders and summaries were not what the log says.

    May be stopped and begun again: the checkpoint takes on the log's new id last.

    Args:
        say: takes a line for the person at the terminal.
    """
    resolve_lost(recovered, DATABASE, ParkedMessage)
    head = recovered.store.head(recovered.stream)
    differences = Rebuild(recovered.store, say).run()
    adopt(recovered, DATABASE, Checkpoint, head.position)
    return differences
