"""Pages of the admin that no single context owns."""

from django.contrib import admin
from django.urls import path

from eventstore.client.admin.display import AGGREGATE_PAGE
from orders_site.console.order_page import order_page

urlpatterns = [
    path("orders/<path:aggregate_id>/", admin.site.admin_view(order_page), name=AGGREGATE_PAGE),
]
