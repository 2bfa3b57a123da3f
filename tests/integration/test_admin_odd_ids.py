"""Rows of the admin whose ids have what a URL takes for its own: anybody with gRPC names orders."""

import re
from html import unescape
from urllib.parse import urljoin

import pytest
from django.contrib.admin.utils import quote
from django.test import Client
from django.urls import reverse

from orders_site.ordering.models import OrderSaga
from queries.models import OrderRow
from tests.integration.admin_users import DATABASES

pytestmark = pytest.mark.django_db(databases=DATABASES)

ODD = [
    *("a/b", "a//b", "/a/", "a/../../b", "a_2Fb", "a%2Fb", "a%b", "_5F", "a?b#c", "a b+c"),
    *("a/change", "a/history/", "add", "'a\"<b>&amp;", "ü\u202e"),
]
ROWS = [OrderRow, OrderSaga]


def page(model: type, name: str, *arguments: str) -> str:
    return reverse(f"admin:{model._meta.app_label}_{model._meta.model_name}_{name}", args=arguments)


def links(client: Client, url: str) -> set[str]:
    """Where a page of the admin leads to, as a browser understands it."""
    body = client.get(url).content.decode()
    found = {urljoin(f"http://testserver{url}", unescape(href)) for href in hrefs(body)}
    local = {href.removeprefix("http://testserver") for href in found}
    return {href.partition("#")[0] for href in local if href.startswith("/admin/")}


def hrefs(body: str) -> list[str]:
    return re.findall(r'<a\b[^>]*?\bhref="([^"]+)"', body)


@pytest.mark.parametrize("model", ROWS, ids=lambda model: model._meta.model_name)
@pytest.mark.parametrize("order_id", ODD)
def test_every_link_of_a_rows_page_to_its_own_pages_leads_there(
    boss: Client, world, model: type, order_id: str
) -> None:
    model.objects.filter(pk=world.place("pizza-roma")).update(order_id=order_id)
    url = page(model, "change", quote(order_id))
    own = page(model, "changelist")
    to_itself = {href for href in links(boss, url) if href.startswith(own) and href != own}
    assert url in to_itself
    for href in to_itself:
        shown = boss.get(href).context
        assert (shown.get("original") or shown["object"]).pk == order_id, href
