"""What a database error says about the transaction that it ended."""

from enum import Enum

from django.db import Error, InterfaceError, OperationalError


class Verdict(Enum):
    """What may be done after a database error."""

    RERUN = "nothing was committed, and the same work can succeed at once"
    LOST = "the connection is gone, so whether a commit took effect is unknown"
    AWAY = "nothing was committed, and it is not for now"
    FAULT = "the database answers well and refuses the statement: our mistake"


# 40001 serialization failure, 40P01 deadlock; 23505 unique violation: under the head lock only an
# append to another stream can have taken the id or the aggregate, and the next run sees it.
_RERUN = frozenset({"40001", "40P01", "23505"})
# Admin shutdown, crash shutdown, cannot connect now, statement completion unknown.
_LOST = frozenset({"57P01", "57P02", "57P03", "40003"})
# No such table, no such database.
NOT_MIGRATED = frozenset({"42P01", "3D000"})
# Invalid transaction state (a standby refuses writes), out of resources, system error; query
# cancelled and lock not available (our timeouts), database dropped, session idle for too long.
_AWAY_CLASSES = frozenset({"25", "53", "58"})
_AWAY = NOT_MIGRATED | {"57014", "55P03", "57P04", "57P05"}


def sqlstate(error: BaseException) -> str | None:
    """The SQLSTATE of the driver's error, which Django's wrappers carry as their causes."""
    cause: BaseException | None = error
    while cause is not None:
        if state := getattr(cause, "sqlstate", None):
            return str(state)
        cause = cause.__cause__
    return None


def verdict(error: Error) -> Verdict:
    """Judge an error by its SQLSTATE, and by its class only where it has none."""
    state = sqlstate(error)
    if state is None:
        lost = isinstance(error, OperationalError | InterfaceError)
        return Verdict.LOST if lost else Verdict.FAULT
    if state in _RERUN:
        return Verdict.RERUN
    if state in _LOST or state.startswith("08"):
        return Verdict.LOST
    if state in _AWAY or state[:2] in _AWAY_CLASSES:
        return Verdict.AWAY
    return Verdict.FAULT
