"""Every address of the site; here the read and write side of the orders API meet."""

from django.contrib import admin
from django.urls import include, path, register_converter
from django.urls.converters import UUIDConverter
from django.views.generic import RedirectView
from drf_spectacular.views import SpectacularAPIView, SpectacularSwaggerView
from rest_framework.permissions import AllowAny

from orders_site.ordering.api import CancelOrder, PlaceOrder
from queries.api import (
    CustomerSummaries,
    ListOrders,
    OrderDetail,
    OrderEvents,
    RestaurantSummaries,
)

# Before the console's pages, which ask the admin for its site.
admin.autodiscover()


class Orders(ListOrders, PlaceOrder):
    """GET lists from the query model, POST places through the log."""


class OrderIdConverter(UUIDConverter):
    """A UUID in either case: some languages print theirs in capitals."""

    regex = f"(?i:{UUIDConverter.regex})"


register_converter(OrderIdConverter, "order_id")

urlpatterns = [
    path("", RedirectView.as_view(pattern_name="admin:index")),
    path("admin/", include("orders_site.console.urls")),
    path("admin/", admin.site.urls),
    path("api/orders", Orders.as_view(), name="orders"),
    path("api/orders/<order_id:order_id>", OrderDetail.as_view(), name="order"),
    path("api/orders/<order_id:order_id>/events", OrderEvents.as_view(), name="order-events"),
    path("api/orders/<order_id:order_id>/cancel", CancelOrder.as_view(), name="order-cancel"),
    path("api/summaries/customers", CustomerSummaries.as_view(), name="customer-summaries"),
    path("api/summaries/restaurants", RestaurantSummaries.as_view(), name="restaurant-summaries"),
    path(
        "api/schema",
        SpectacularAPIView.as_view(permission_classes=[AllowAny], authentication_classes=[]),
        name="schema",
    ),
    path(
        "api/docs",
        SpectacularSwaggerView.as_view(
            url_name="schema",
            permission_classes=[AllowAny],
            authentication_classes=[],
            # Its template can't show what DRF would answer to OPTIONS.
            http_method_names=["get", "head"],
        ),
        name="docs",
    ),
]

handler400 = "orders_site.errors.bad_request"
handler404 = "orders_site.errors.not_found"
handler500 = "orders_site.errors.server_error"
