"""Lists of orders and summaries over the REST API: filters, pages, age, and what is refused."""

from datetime import datetime
from urllib.parse import urlsplit

import pytest

from eventstore.client.connection import use
from eventstore.client.memory import InMemoryEventStore
from tests.expected_orders import append, place
from tests.integration.queries_browsers import Away, browser_of, caught_up, refusal, staff_browser
from tests.integration.test_queries_projector import all_events

pytestmark = pytest.mark.django_db(databases=["default", "queries"], transaction=True)


@pytest.fixture
def store(memory_store):
    return memory_store


@pytest.fixture
def mine():
    return browser_of("mine")


@pytest.fixture
def other():
    return browser_of("other")


@pytest.fixture
def staff():
    return staff_browser("view_all_orders")


def listed(browser, **parameters):
    answer = browser.get("/api/orders", parameters)
    assert answer.status_code == 200, answer.content
    return [order["order_id"] for order in answer.json()["results"]]


def test_lists_are_filtered_and_newest_first(store, mine, other, staff):
    first = place(store, mine.id, created_on="2026-03-01T00:00:00.000001Z", customer_id="c1")
    last = place(store, mine.id, created_on="2026-03-03T00:00:00.000000Z", customer_id="c2")
    theirs = place(store, other.id, created_on="2026-03-02T00:00:00.000000Z", customer_id="c1")
    append(store, last, "order-cancelled")
    caught_up(store)
    assert listed(mine) == [last, first]
    assert listed(mine, customer_id="c1") == [first]
    assert listed(mine, restaurant_id="pizza-roma") == [last, first]
    assert listed(mine, restaurant_id="elsewhere") == []
    assert listed(mine, status="cancelled") == [last]
    assert listed(mine, status="pending", customer_id="c2") == []
    assert listed(staff) == [last, theirs, first]
    assert listed(staff, customer_id="c1") == [theirs, first]


def test_pages_give_every_order_once_also_while_new_ones_come(store, mine):
    same = "2026-03-01T12:00:00.000000Z"
    orders = [place(store, mine.id, created_on=same) for _ in range(7)]
    caught_up(store)
    seen, url = [], "/api/orders?page_size=3&customer_id=customer-1"
    while url:
        page = mine.get(url).json()
        seen += [order["order_id"] for order in page["results"]]
        assert len(page["results"]) <= 3
        place(store, mine.id, created_on="2026-03-02T12:00:00.000000Z")
        caught_up(store)
        url = page["next"]
    assert seen == sorted(orders, reverse=True)


def test_each_page_says_how_far_it_is_behind(store, mine):
    place(store, mine.id)
    caught_up(store)
    applied = store.read_event(all_events(store)[-1].event_id).recorded_at
    store = copy_of(store)
    place(store, mine.id)
    place(store, mine.id)
    behind = mine.get("/api/orders").json()["behind"]
    assert behind["events"] == 2
    assert datetime.fromisoformat(behind["as_of"]) == applied
    caught_up(store)
    copy_of(store)
    assert mine.get("/api/orders").json()["behind"]["events"] == 0


def copy_of(store):
    """The same log as another object, so that nothing about it is cached."""
    copy = InMemoryEventStore()
    vars(copy).update(vars(store))
    use(copy)
    return copy


def test_a_query_model_that_has_nothing_yet_lacks_the_whole_log(store, mine):
    place(store, mine.id)
    assert mine.get("/api/orders").json() == {
        "results": [],
        "next": None,
        "behind": {"events": 1, "as_of": None},
    }


def test_lists_are_served_while_the_log_is_away(store, mine):
    order_id = place(store, mine.id)
    caught_up(store)
    use(Away())
    page = mine.get("/api/orders").json()
    assert [order["order_id"] for order in page["results"]] == [order_id]
    assert page["behind"]["events"] is None


@pytest.mark.parametrize(
    ("query", "field"),
    [
        ("page_size=0", "page_size"),
        ("page_size=101", "page_size"),
        ("page_size=-1", "page_size"),
        ("page_size=ten", "page_size"),
        ("status=lost", "status"),
        ("status=", "status"),
        ("customer_id=a%0D%0Ab", "customer_id"),
        ("customer_id=%ff%fe", "customer_id"),
        ("customer_id=" + "x" * 256, "customer_id"),
        ("customer_id=a&customer_id=b", "customer_id"),
        ("cursor=", "cursor"),
        ("cursor=WyJhIiwiYiJd", "cursor"),
        ("cursor=..", "cursor"),
        ("cursor=" + "x" * 5000, "cursor"),
        ("custmer_id=a", "custmer_id"),
        ("api_client=00000000-0000-0000-0000-000000000001", "api_client"),
        ("status__regex=(((", "status__regex"),
        ("<script>=1", "?script?"),
    ],
)
def test_a_bad_query_is_refused_and_named(store, mine, query, field):
    refusal(mine.get(f"/api/orders?{query}"), 400, field)


def test_a_cursor_that_was_altered_or_is_another_list_s_is_refused(store, mine, staff):
    for _ in range(2):
        place(store, mine.id)
    caught_up(store)
    page = urlsplit(mine.get("/api/orders?page_size=1").json()["next"])
    cursor = page.query.partition("cursor=")[2]
    assert mine.get(f"/api/orders?cursor={cursor}").status_code == 200
    refusal(mine.get(f"/api/orders?cursor=A{cursor}"), 400, "cursor")
    refusal(staff.get(f"/api/summaries/customers?cursor={cursor}"), 400, "cursor")


def test_summaries_count_orders_by_day_and_status(store, mine, other, staff):
    for client in (mine, other):
        place(store, client.id, created_on="2026-03-02T23:59:59.999999Z")
    append(store, place(store, mine.id, customer_id="c9"), "order-cancelled")
    caught_up(store)
    page = staff.get("/api/summaries/customers").json()
    assert page["results"] == [
        {
            "customer_id": "customer-1",
            "day": "2026-03-02",
            "status": "pending",
            "currency": "EUR",
            "orders": 2,
            "amount": "51.00",
        },
        {
            "customer_id": "c9",
            "day": "2026-03-01",
            "status": "cancelled",
            "currency": "EUR",
            "orders": 1,
            "amount": "25.50",
        },
    ]
    assert page["behind"]["events"] == 0
    for query, found in [
        ("customers?customer_id=c9", ["c9"]),
        ("customers?from=2026-03-02", ["customer-1"]),
        ("customers?to=2026-03-01", ["c9"]),
        ("customers?from=2026-03-01&to=2026-03-01&customer_id=customer-1", []),
    ]:
        results = staff.get(f"/api/summaries/{query}").json()["results"]
        assert [row["customer_id"] for row in results] == found
    restaurants = staff.get("/api/summaries/restaurants?restaurant_id=pizza-roma").json()
    assert [row["orders"] for row in restaurants["results"]] == [2, 1]


def test_summaries_come_in_pages(store, mine, staff):
    for number in range(5):
        place(
            store,
            mine.id,
            customer_id=f"c{number % 3}",
            created_on=f"2026-03-0{1 + number % 2}T00:00:00.000000Z",
        )
    caught_up(store)
    seen, url = [], "/api/summaries/customers?page_size=2&from=2026-01-01"
    while url:
        page = staff.get(url).json()
        seen += [(row["day"], row["customer_id"]) for row in page["results"]]
        url = page["next"]
    assert len(seen) == 5
    assert seen == sorted(set(seen), reverse=True)


@pytest.mark.parametrize(
    ("query", "field"),
    [
        ("from=2026-02-30", "from"),
        ("from=2026-W01-1", "from"),
        ("to=today", "to"),
        ("to=20260301", "to"),
        ("from=2026-03-02&to=2026-03-01", "to"),
        ("restaurant_id=x", "restaurant_id"),
        ("customer_id=%0A", "customer_id"),
    ],
)
def test_a_bad_question_about_summaries_is_refused(store, staff, query, field):
    refusal(staff.get(f"/api/summaries/customers?{query}"), 400, field)
