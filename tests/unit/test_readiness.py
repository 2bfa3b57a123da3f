"""What the supervisor believes about its parts' being ready."""

import json

from orders_site.embedded.readiness import told


def test_a_process_is_ready_once_the_one_that_was_started_said_so(tmp_path) -> None:
    ready, pid = tmp_path / "worker.ready", tmp_path / "worker.pid"
    probe = told(ready, pid)
    assert not probe()
    pid.write_text(json.dumps({"pid": 12, "create_time": 1.0}))
    ready.write_text("11")
    assert not probe(), "an earlier life said so"
    ready.write_text("12")
    assert probe()
    ready.write_text("")
    assert not probe()
