"""Clients of the Go reference's contract work unchanged: one built from its messages alone does."""

import json
import subprocess
import sys
from pathlib import Path

import pytest
from google.protobuf.descriptor_pb2 import FileDescriptorSet

from eventstore.proto import eventstore_pb2
from eventstore.proto.generate import PROTO, ROOT
from tests.contract import stores

REFERENCE = """
syntax = "proto3";
package eventstore;
service EventStore {
  rpc CreateEvent(CreateEventRequest) returns (CreateEventResponse) {}
  rpc GetEvents(GetEventsRequest) returns (GetEventsResponse) {}
  rpc GetEventsStream(GetEventsRequest) returns (stream Event) {}
}
message Event {
  string event_id = 1;
  string event_type = 2;
  string aggregate_id = 3;
  string aggregate_type = 4;
  string event_data = 5;
  string stream = 6;
}
message CreateEventRequest { Event event = 1; }
message CreateEventResponse { bool is_success = 1; string error = 2; }
message GetEventsRequest { string event_id = 1; string aggregate_id = 2; }
message GetEventsResponse { repeated Event events = 1; }
"""

# Run in a process of its own: one process can't hold two contracts of the same names.
CLIENT = """
import json, sys, uuid
import grpc, reference_pb2 as pb, reference_pb2_grpc as stubs

stub = stubs.EventStoreStub(grpc.insecure_channel(sys.argv[1]))
event = pb.Event(event_id=str(uuid.uuid4()), event_type="ORDERS.created", aggregate_id="order-1",
                 aggregate_type="order", event_data='{"amount":25.5}', stream="ORDERS")
created = stub.CreateEvent(pb.CreateEventRequest(event=event), timeout=10)
other = pb.Event(event_id=str(uuid.uuid4()), event_type="order-approved", aggregate_id="order-1",
                 aggregate_type="order", event_data="{}")
stub.CreateEvent(pb.CreateEventRequest(event=other), timeout=10)

def known(event):
    fields = ("event_id", "event_type", "aggregate_id", "aggregate_type", "event_data", "stream")
    return [getattr(event, field) for field in fields]

by_id = pb.GetEventsRequest(event_id=event.event_id)
by_aggregate = pb.GetEventsRequest(aggregate_id="order-1")
print(json.dumps({
    "is_success": created.is_success,
    "error": created.error,
    "sent": known(event),
    "by_id": [known(e) for e in stub.GetEvents(by_id).events],
    "by_aggregate": [e.event_type for e in stub.GetEvents(by_aggregate).events],
    "streamed": [e.event_type for e in stub.GetEventsStream(by_aggregate)],
    "streams": [e.stream for e in stub.GetEvents(pb.GetEventsRequest()).events],
}))
"""


@pytest.mark.django_db(databases=["eventstore"], transaction=True)
def test_a_client_of_the_reference_creates_and_reads_events(tmp_path):
    (tmp_path / "reference.proto").write_text(REFERENCE)
    (tmp_path / "client.py").write_text(CLIENT)
    compiler = [sys.executable, "-m", "grpc_tools.protoc", "-I."]
    outputs = ["--python_out=.", "--grpc_python_out=.", "reference.proto"]
    subprocess.run([*compiler, *outputs], cwd=tmp_path, check=True)

    with stores.sql() as store, stores.serving(store) as server:
        finished = subprocess.run(
            [sys.executable, "client.py", f"127.0.0.1:{server.port}"],
            cwd=tmp_path,
            capture_output=True,
            text=True,
            timeout=60,
            check=False,
        )
    assert finished.returncode == 0, finished.stderr
    answer = json.loads(finished.stdout)

    assert (answer["is_success"], answer["error"]) == (True, "")
    assert answer["by_id"] == [answer["sent"]]
    assert answer["by_aggregate"] == ["ORDERS.created", "order-approved"]
    assert answer["streamed"] == answer["by_aggregate"]
    assert answer["streams"] == ["ORDERS", "ORDERS"]


def test_the_generated_code_is_that_of_the_contract(tmp_path: Path):
    described = tmp_path / "contract.bin"
    compiler = [sys.executable, "-m", "grpc_tools.protoc", "-I."]
    subprocess.run([*compiler, f"--descriptor_set_out={described}", PROTO], cwd=ROOT, check=True)
    (contract,) = FileDescriptorSet.FromString(described.read_bytes()).file

    generated = type(contract).FromString(eventstore_pb2.DESCRIPTOR.serialized_pb)
    # Names of JSON fields, which only the compiler's own output spells out.
    for message in [*contract.message_type, *generated.message_type]:
        for field in message.field:
            field.ClearField("json_name")
    assert generated == contract, "run: python -m eventstore.proto.generate"
