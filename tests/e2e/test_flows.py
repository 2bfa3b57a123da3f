"""Every fate of an order, HTTP in, query model and events out, over real processes."""

import uuid
from concurrent.futures import ThreadPoolExecutor

import httpx

from tests.e2e.system import System, eventually, order_body

PAID = ["order-created", "order-payment-debited"]


def test_an_order_is_paid_and_approved(system: System) -> None:
    order_id = system.place("19.00")
    row = system.reaches(order_id, "approved", "debited")
    assert row["version"] == 3
    assert row["amount"] == "19.00"
    assert row["order_items"] == [
        {"code": "m", "name": "Margherita", "unit_price": "19.00", "quantity": 1}
    ]
    assert system.event_types(order_id) == [*PAID, "order-approved"]


def test_every_process_tells_prometheus_of_itself(system: System) -> None:
    system.place()
    first = int(system.environment["ORDERS_METRICS_PORT"])
    served = [
        httpx.get(f"http://127.0.0.1:{port}/metrics").text for port in range(first, first + 8)
    ]
    subscriptions = ("ordering-saga", "payments", "restaurant", *["orderquery-store"] * 2)
    names = [
        'orders_grpc_calls_total{code="OK",method="AppendEvents"}',
        *(f'orders_subscription_pending_events{{subscription="{name}"}}' for name in subscriptions),
        "orders_tasks_total",
        "granian_requests_handled",
    ]
    assert [name in text for name, text in zip(names, served, strict=True)] == [True] * 8
    token = {"Authorization": f"Bearer {system.environment['ORDERS_METRICS_TOKEN']}"}
    assert (
        'orders_part_up{part="nats"} 1.0' in httpx.get(f"{system.site}/metrics", headers=token).text
    )


def test_a_declined_card_rejects_the_order(system: System) -> None:
    order_id = system.place("400.02")
    assert system.reaches(order_id, "rejected", "failed")["reason"] == "payment-failed"
    assert system.event_types(order_id) == [
        "order-created",
        "order-payment-failed",
        "order-rejected",
    ]


def test_a_rejected_order_gets_its_money_back(system: System) -> None:
    order_id = system.place("21.00", "nowhere")
    assert system.reaches(order_id, "rejected", "refunded")["reason"] == "unknown-restaurant"
    assert system.event_types(order_id) == [*PAID, "order-rejected", "order-payment-refunded"]


def test_a_cancelled_order_gets_its_money_back(system: System) -> None:
    order_id = system.place("23.00", "sushi-kyoto")
    system.reaches(order_id, "paid", "debited")
    with system.api() as api:
        first = api.post(f"/orders/{order_id}/cancel", json={"reason": "too late"})
        again = api.post(f"/orders/{order_id}/cancel", json={"reason": "too late"})
    assert (first.status_code, again.status_code) == (200, 200)
    assert first.json()["status"] == again.json()["status"] == "cancelled"
    system.reaches(order_id, "cancelled", "refunded")
    assert system.event_types(order_id) == [*PAID, "order-cancelled", "order-payment-refunded"]


def test_an_approved_order_cannot_be_cancelled(system: System) -> None:
    order_id = system.place()
    system.reaches(order_id, "approved", "debited")
    with system.api() as api:
        reply = api.post(f"/orders/{order_id}/cancel")
    assert reply.status_code == 409
    assert reply.headers["content-type"] == "application/problem+json"


def test_a_payment_that_never_answers_and_a_silent_restaurant_time_out(system: System) -> None:
    unpaid = system.place("400.16")
    unanswered = system.place("24.00", "sushi-kyoto")
    row = system.reaches(unpaid, "rejected", "none", seconds=120)
    assert row["reason"] == "payment-timeout"
    row = system.reaches(unanswered, "rejected", "refunded", seconds=120)
    assert row["reason"] == "approval-timeout"


def test_a_lost_reply_of_the_gateway_charges_once(system: System) -> None:
    order_id = system.place("400.12")
    system.reaches(order_id, "approved", "debited")
    assert [m["amount"] for m in system.movements() if m["order_id"] == order_id] == [40012]


def test_the_same_order_posted_twice_and_at_once_is_one_order(system: System) -> None:
    key = str(uuid.uuid4())
    headers = {"Idempotency-Key": key}

    def post(_: int) -> tuple[int, dict[str, object]]:
        with system.api() as api:
            reply = api.post("/orders", json=order_body(), headers=headers)
        return reply.status_code, reply.json()

    with ThreadPoolExecutor(8) as clients:
        answers = list(clients.map(post, range(16)))
    assert {status for status, _ in answers} == {201}
    assert all(body == answers[0][1] for _, body in answers)
    system.reaches(str(answers[0][1]["order_id"]), "approved", "debited")
    assert post(0) == answers[0]
    with system.api() as api:
        other = api.post("/orders", json=order_body("13.00"), headers=headers)
    assert other.status_code == 422


def test_fifty_orders_at_once_from_ten_clients(system: System) -> None:
    def five(_: int) -> list[str]:
        with system.api() as api:
            return [system.place(api=api) for _ in range(5)]

    with ThreadPoolExecutor(10) as clients:
        orders = [order for placed in clients.map(five, range(10)) for order in placed]
    assert len(set(orders)) == 50
    for order_id in orders:
        system.reaches(order_id, "approved", "debited", seconds=90)
        assert system.event_types(order_id) == [*PAID, "order-approved"]


def test_an_order_of_another_client_is_not_there(system: System) -> None:
    order_id = system.place()
    issued = system.manage("create_api_client", f"other-{uuid.uuid4()}")
    token = issued.stdout.split()[-1]
    with system.api(token) as stranger:
        for path in (f"/orders/{order_id}", f"/orders/{order_id}/events"):
            assert stranger.get(path).status_code == 404
        assert stranger.post(f"/orders/{order_id}/cancel").status_code == 404
        assert stranger.get("/orders").json()["results"] == []


def test_the_list_shows_the_clients_orders_by_status(system: System) -> None:
    order_id = system.place()
    system.reaches(order_id, "approved", "debited")
    with system.api() as api:
        page = eventually(
            lambda: api.get("/orders", params={"status": "approved", "page_size": 5}).json(),
            "a page of orders",
        )
    assert order_id in [order["order_id"] for order in page["results"]]
    assert page["behind"]["events"] >= 0
