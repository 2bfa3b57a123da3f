"""The read side of the REST API: orders, their events, and summaries."""

from collections.abc import Mapping
from datetime import date
from typing import Any, ClassVar
from uuid import UUID

from drf_spectacular.utils import extend_schema
from rest_framework.exceptions import NotFound, ValidationError
from rest_framework.renderers import JSONRenderer
from rest_framework.request import Request
from rest_framework.response import Response
from rest_framework.views import APIView

from eventstore.client.connection import event_store
from queries import access, lookup, reads, schemas
from queries.freshness import Freshness
from queries.models import CustomerSummary, OrderRow, RestaurantSummary
from queries.parameters import (
    NEWEST_ORDERS,
    PAGING,
    choice,
    day,
    integer,
    newest_summaries,
    next_url,
    query_parameters,
)
from queries.projections import STATUSES
from queries.projector import SUBSCRIPTION
from queries.representations import event_json, order_json, page_json, summary_json

MAX_EVENTS = 500
MAX_VERSION = 2**63 - 1


class EscapedJSONRenderer(JSONRenderer):
    """JSON in ASCII: the log's data may hold half a surrogate pair, which UTF-8 can't carry."""

    ensure_ascii = True


_freshness = Freshness(SUBSCRIPTION)


class ListOrders(APIView):
    """Pages of orders, newest first."""

    @extend_schema(
        operation_id="orders_list",
        summary="List orders, newest first",
        description="Only the caller's own, except for staff who may view all. Read from the "
        "query model: `behind` says how many events it lacks.",
        parameters=[
            schemas.text_parameter("customer_id", "Orders of one customer."),
            schemas.text_parameter("restaurant_id", "Orders of one restaurant."),
            schemas.text_parameter("status", "Orders in one status.", enum=list(STATUSES)),
            *schemas.PAGING_PARAMETERS,
        ],
        responses={200: schemas.OrderPageSchema, **schemas.PROBLEMS},
        tags=["orders"],
    )
    def get(self, request: Request) -> Response:
        """A page of the orders that the caller may see."""
        client = access.visible_client(request)
        given = query_parameters(request, ("customer_id", "restaurant_id", "status", *PAGING))
        choice(given, "status", STATUSES)
        rows = OrderRow.objects.filter(
            **{name: value for name, value in given.items() if name not in PAGING}
        )
        if client is not None:
            rows = rows.filter(api_client=client)
        found, cursor = NEWEST_ORDERS.page(rows, given)
        results = [order_json(view) for view in reads.with_items(found)]
        return _page(request, given, results, cursor)


class OrderDetail(APIView):
    """One order."""

    @extend_schema(
        operation_id="orders_retrieve",
        summary="One order",
        description="Read from the query model; where that lacks the order, or still lacks the "
        "version asked for after a second, from the log. An order that has not reached "
        "`min_version` is answered as it is: its `version` tells.",
        parameters=[
            schemas.integer_parameter(
                "min_version",
                "A version of the order that the answer should include.",
            )
        ],
        responses={200: schemas.OrderSchema, **schemas.PROBLEMS, **schemas.NOT_FOUND},
        examples=[schemas.ORDER_EXAMPLE],
        tags=["orders"],
    )
    def get(self, request: Request, order_id: UUID) -> Response:
        """The order, at `min_version` or later where it has got that far."""
        client = access.visible_client(request)
        given = query_parameters(request, ("min_version",))
        min_version = integer(given, "min_version", 1, most=MAX_VERSION)
        view = lookup.find(event_store(), str(order_id), client, min_version)
        if view is None:
            raise NotFound("There is no such order.", code="no-such-order")
        return Response(order_json(view))


class OrderEvents(APIView):
    """The events of one order, from the log."""

    renderer_classes: ClassVar[list[Any]] = [EscapedJSONRenderer]

    @extend_schema(
        operation_id="orders_events",
        summary="The events of an order",
        parameters=[
            schemas.integer_parameter("from_version", "The first version wanted, 1 unless given."),
            schemas.integer_parameter("limit", f"1 to {MAX_EVENTS}, {MAX_EVENTS} unless given."),
        ],
        responses={200: schemas.EventPageSchema, **schemas.PROBLEMS, **schemas.NOT_FOUND},
        tags=["orders"],
    )
    def get(self, request: Request, order_id: UUID) -> Response:
        """A page of the order's events, in version order."""
        client = access.visible_client(request)
        given = query_parameters(request, ("from_version", "limit"))
        from_version = integer(given, "from_version", 1, most=MAX_VERSION)
        limit = integer(given, "limit", MAX_EVENTS, most=MAX_EVENTS)
        store = event_store()
        if not lookup.is_visible(store, str(order_id), client):
            raise NotFound("There is no such order.", code="no-such-order")
        events = lookup.events(store, str(order_id), from_version, limit + 1)
        results = [event_json(event, whole_actor=client is None) for event in events[:limit]]
        following = events[limit].version if len(events) > limit else None
        return Response({"results": results, "next_version": following})


_SUMMARY_PARAMETERS = [
    schemas.text_parameter("from", "The first day, such as 2026-02-01."),
    schemas.text_parameter("to", "The last day."),
    *schemas.PAGING_PARAMETERS,
]


class CustomerSummaries(APIView):
    """Orders per customer, day, status and currency; for staff who may view all orders."""

    @extend_schema(
        operation_id="summaries_customers",
        summary="Orders per customer and day, newest first",
        parameters=[schemas.text_parameter("customer_id", "One customer."), *_SUMMARY_PARAMETERS],
        responses={200: schemas.CustomerSummaryPageSchema, **schemas.PROBLEMS},
        tags=["summaries"],
    )
    def get(self, request: Request) -> Response:
        """A page of customers' summaries."""
        return _summaries(request, CustomerSummary, "customer_id")


class RestaurantSummaries(APIView):
    """Orders per restaurant, day, status and currency; for staff who may view all orders."""

    @extend_schema(
        operation_id="summaries_restaurants",
        summary="Orders per restaurant and day, newest first",
        parameters=[
            schemas.text_parameter("restaurant_id", "One restaurant."),
            *_SUMMARY_PARAMETERS,
        ],
        responses={200: schemas.RestaurantSummaryPageSchema, **schemas.PROBLEMS},
        tags=["summaries"],
    )
    def get(self, request: Request) -> Response:
        """A page of restaurants' summaries."""
        return _summaries(request, RestaurantSummary, "restaurant_id")


def _summaries(
    request: Request, model: type[CustomerSummary] | type[RestaurantSummary], owner: str
) -> Response:
    access.require_view_all(request)
    given = query_parameters(request, ("from", "to", owner, *PAGING))
    first, last = day(given, "from"), day(given, "to")
    if first and last and last < first:
        raise ValidationError({"to": ["is before from"]})
    rows = model._default_manager.filter(
        day__range=(first or date.min, last or date.max), orders__gt=0
    )
    if owner in given:
        rows = rows.filter(**{owner: given[owner]})
    found, cursor = newest_summaries(owner).page(rows, given)
    results = [summary_json(row, owner) for row in found]
    return _page(request, given, results, cursor)


def _page(
    request: Request, given: Mapping[str, str], results: list[Any], cursor: str | None
) -> Response:
    behind = _freshness.get(event_store())
    return Response(page_json(results, next_url(request, given, cursor), behind))
