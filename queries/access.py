"""Whose orders a request may see."""

from uuid import UUID

from rest_framework.exceptions import PermissionDenied
from rest_framework.request import Request

VIEW_ALL = "ordering.view_all_orders"


def visible_client(request: Request) -> UUID | None:
    """The API client whose orders the request sees; None = those of all, for staff who may.

    Raises:
        PermissionDenied: staff without the permission.
    """
    if request.auth is not None:
        return request.auth.id
    require_view_all(request)
    return None


def require_view_all(request: Request) -> None:
    """Raise PermissionDenied unless the request is made by staff who may see everybody's orders."""
    user = request.user
    if request.auth is not None or not user or not user.is_staff or not user.has_perm(VIEW_ALL):
        raise PermissionDenied
