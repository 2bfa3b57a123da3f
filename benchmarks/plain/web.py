"""The endpoint as it is usually built: a nested serializer per request, a gRPC call per order."""

import os
import uuid
from functools import cache
from typing import Any

import grpc
from django.urls import path
from django.utils import timezone
from rest_framework import serializers
from rest_framework.authentication import TokenAuthentication
from rest_framework.permissions import IsAuthenticated
from rest_framework.request import Request
from rest_framework.response import Response
from rest_framework.views import APIView

from eventstore.client import to_json
from eventstore.proto import eventstore_pb2 as pb
from eventstore.proto.eventstore_pb2_grpc import EventStoreStub


class ItemSerializer(serializers.Serializer):
    """One line of an order."""

    code = serializers.CharField(max_length=64)
    name = serializers.CharField(max_length=200)
    unit_price = serializers.DecimalField(max_digits=12, decimal_places=2)
    quantity = serializers.IntegerField(min_value=1)


class OrderSerializer(serializers.Serializer):
    """An order as it is placed and answered."""

    order_id = serializers.UUIDField(read_only=True)
    customer_id = serializers.CharField(max_length=255)
    restaurant_id = serializers.CharField(max_length=255)
    order_items = ItemSerializer(many=True)
    status = serializers.CharField(read_only=True)
    amount = serializers.DecimalField(max_digits=14, decimal_places=2, read_only=True)
    created_on = serializers.DateTimeField(read_only=True)


class PlaceOrder(APIView):
    """Places an order."""

    authentication_classes = [TokenAuthentication]
    permission_classes = [IsAuthenticated]

    def post(self, request: Request) -> Response:
        serializer = OrderSerializer(data=request.data)
        serializer.is_valid(raise_exception=True)
        given: dict[str, Any] = serializer.validated_data
        order = {
            **given,
            "order_id": uuid.uuid4(),
            "status": "pending",
            "amount": sum(item["unit_price"] * item["quantity"] for item in given["order_items"]),
            "created_on": timezone.now(),
        }
        answer = OrderSerializer(order).data
        event = pb.Event(
            event_id=str(uuid.uuid4()),
            event_type="order-created",
            aggregate_id=str(order["order_id"]),
            aggregate_type="order",
            event_data=to_json(answer),
        )
        stub().CreateEvent(pb.CreateEventRequest(event=event), timeout=30)
        return Response(answer, status=201)


@cache
def stub() -> EventStoreStub:
    """The plain event store, on the process's one channel."""
    return EventStoreStub(grpc.insecure_channel(os.environ["PLAIN_ADDRESS"]))


urlpatterns = [path("api/orders", PlaceOrder.as_view())]
