"""The admin in a real browser, on the whole running system; pictures go to test-results/."""

import re
import shutil
from collections.abc import Iterator
from pathlib import Path
from uuid import uuid4

import pytest

from eventstore.client import NewEvent, metadata_for, to_json
from eventstore.client.remote import RemoteEventStore
from tests.e2e.system import ROOT, System, eventually

CHROMIUM = shutil.which("chromium")
if CHROMIUM is None:
    pytest.skip("not run: chromium is not installed", allow_module_level=True)

from playwright.sync_api import Page, expect, sync_playwright  # noqa: E402 - only with a browser

pytestmark = pytest.mark.browser

PICTURES = ROOT / "test-results"
ARGUMENTS = [
    *("--headless", "--no-sandbox", "--disable-gpu", "--disable-quic", "--no-first-run"),
    *("--disable-background-networking", "--disable-component-update", "--disable-sync"),
]
MILLISECONDS = 15_000


@pytest.fixture(scope="module")
def page(system: System) -> Iterator[Page]:
    """A browser in which the admin has logged in."""
    PICTURES.mkdir(exist_ok=True)
    with sync_playwright() as playwright:
        browser = playwright.chromium.launch(executable_path=CHROMIUM, args=ARGUMENTS)
        page = browser.new_page(viewport={"width": 1400, "height": 900})
        page.set_default_timeout(MILLISECONDS)
        log_in(page, system)
        yield page
        browser.close()


@pytest.fixture(autouse=True)
def complaints(page: Page) -> Iterator[None]:
    """No page may fail or throw, whatever the test does."""
    found: list[str] = []

    def answered(response) -> None:
        if response.status >= 500:
            found.append(f"{response.status} {response.url}")

    page.on("response", answered)
    page.on("pageerror", lambda error: found.append(str(error)))
    yield
    assert found == []


def log_in(page: Page, system: System) -> None:
    page.goto(f"{system.site}/admin/")
    picture(page, "login")
    page.fill("#id_username", "admin")
    page.fill("#id_password", system.admin_password)
    page.click("button[type=submit]")
    expect(page.locator("#parts")).to_be_visible()


def picture(page: Page, name: str) -> Path:
    page.wait_for_load_state("networkidle")
    path = PICTURES / f"admin-{name}.png"
    page.screenshot(path=path)
    return path


def find(page: Page, system: System, path: str, text: str) -> None:
    """Search a list, and open the first row found."""
    page.goto(f"{system.site}/admin/{path}/")
    page.fill("#searchbar", text)
    page.keyboard.press("Enter")
    page.wait_for_url("**q=*")
    page.locator("#result_list tbody a").first.click()
    page.wait_for_load_state()


def test_the_first_page_shows_that_every_part_answers(page: Page, system: System) -> None:
    order_id = system.place("19.00")
    system.reaches(order_id, "approved", "debited")
    page.goto(f"{system.site}/admin/")
    for part in page.locator("#parts > div").all_inner_texts():
        assert re.search("answers|head at", part, re.IGNORECASE), part
    expect(page.locator("#subscriptions")).to_contain_text("payments")
    picture(page, "landing")


def test_staff_find_an_order_by_its_id_and_read_its_timeline(page: Page, system: System) -> None:
    order_id = system.place("21.00", "nowhere")
    system.reaches(order_id, "rejected", "refunded")
    find(page, system, "queries/orderrow", order_id)
    assert page.url.startswith(f"{system.site}/admin/orders/{order_id}/")
    types = [entry.get_attribute("data-type") for entry in page.locator("#timeline li").all()]
    assert types == system.event_types(order_id)
    page.locator("#timeline summary").nth(2).click()
    expect(page.locator("#timeline")).to_contain_text('"reason": "unknown-restaurant"')
    picture(page, "order")
    page.locator("#timeline li a").first.click()
    expect(page.locator("body")).to_contain_text('"restaurant_id": "nowhere"')
    picture(page, "event")
    page.goto(f"{system.site}/admin/eventstore/storedevent/")
    picture(page, "events")


def test_a_waiting_ticket_is_approved(page: Page, system: System) -> None:
    order_id = system.place("24.00", "sushi-kyoto")
    system.reaches(order_id, "paid", "debited")
    eventually(lambda: ticket_is_open(page, system, order_id), "the ticket is open")
    page.get_by_role("link", name="Approve").click()
    page.get_by_role("button", name="Approve").click()
    expect(page.locator("body")).to_contain_text("Approved.")
    picture(page, "ticket-approved")
    system.reaches(order_id, "approved", "debited")
    assert system.event_types(order_id).count("order-approved") == 1


def ticket_is_open(page: Page, system: System, order_id: str) -> bool:
    page.goto(f"{system.site}/admin/orders/{order_id}/")
    return page.get_by_role("link", name="Approve").count() == 1


def test_tickets_are_rejected_in_the_list_with_a_reason(page: Page, system: System) -> None:
    orders = [system.place("24.00", "sushi-kyoto") for _ in range(2)]
    for order_id in orders:
        system.reaches(order_id, "paid", "debited")
    page.goto(f"{system.site}/admin/restaurant/ticket/?state__exact=open")
    for order_id in orders:
        page.locator("#result_list tr", has_text=order_id).locator("input.action-select").check()
    page.select_option("select[name=action]", "reject")
    picture(page, "tickets")
    page.locator("button[name=index]").first.click()
    page.get_by_label("Reason").fill("No more rice <b>today</b>")
    picture(page, "reject")
    page.get_by_role("button", name="Reject").click()
    expect(page.locator("body")).to_contain_text("Rejected: No more rice <b>today</b>")
    picture(page, "rejected")
    for order_id in orders:
        row = system.reaches(order_id, "rejected", "refunded")
        assert row["reason"] == "No more rice <b>today</b>"


def test_a_parked_message_is_retried_and_given_up(page: Page, system: System) -> None:
    order_id = system.place("26.00", "sushi-kyoto")
    system.reaches(order_id, "paid", "debited")
    poison(system, order_id)
    open_ = f"{system.site}/admin/restaurant/parkedmessage/?state__exact=parked&q={order_id}"
    eventually(lambda: rows(page, open_) == 1, "the message is parked")
    picture(page, "parked-list")
    page.locator("#result_list tbody a").first.click()
    expect(page.locator("body")).to_contain_text("UnknownSchemaVersion")
    picture(page, "parked")
    parked = page.url
    assert attempts(page, parked) == 1
    page.get_by_role("link", name="Retry").click()
    page.get_by_role("button", name="Retry").click()
    expect(page.locator("body")).to_contain_text("A retry was requested.")
    eventually(lambda: attempts(page, parked) == 2, "the retry has failed too")
    page.get_by_role("link", name="Discard ...").click()
    picture(page, "discard")
    page.get_by_role("button", name="Discard").click()
    expect(page.locator("body")).to_contain_text("Discarded.")
    assert rows(page, open_) == 0


def poison(system: System, order_id: str) -> None:
    """An event of a known type in a schema that nobody knows."""
    store = RemoteEventStore(f"127.0.0.1:{system.ports['EVENTSTORE']}")
    try:
        event = NewEvent(
            event_id=uuid4(),
            event_type="order-approved",
            aggregate_id=order_id,
            aggregate_type="order",
            data=to_json({"ready_at": {"later": True}}),
            metadata=metadata_for(actor="test", schema_version=999),
        )
        store.append([event])
    finally:
        store.close()


def rows(page: Page, url: str) -> int:
    page.goto(url)
    return page.locator("#result_list input.action-select").count()


def attempts(page: Page, url: str) -> int:
    page.goto(url)
    found = re.search(r"Attempts\s+(\d+)", page.locator("#content-main").inner_text())
    assert found is not None
    return int(found[1])
