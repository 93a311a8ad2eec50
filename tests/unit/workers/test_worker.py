"""The worker's loop in this process, step by step, where a process of its own could not be timed so well."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

import msgspec
import pytest
import zmq
from zmq.utils.monitor import recv_monitor_message

from protos.channel import Channel
from protos.messages import PROTOCOL_VERSION, Infer, InferBatch, Welcome, WorkerConfig

PATIENCE_MS = 20_000


@pytest.fixture
def worker() -> Iterator[Any]:
    from workers.worker import Worker

    channel = Channel()
    made = Worker(
        channel,
        control="inproc://control",
        name="worker-0",
        incarnation="1",
        bind=f"ipc://@tensormux-test-{id(channel)}",
        advertise="",
        device="",
    )
    made.channel = channel
    made._welcome(Welcome(protocol=PROTOCOL_VERSION, worker=WorkerConfig()))
    yield made
    made._runners.close()
    made._loaders.close()
    channel.close()


def test_a_front_end_that_went_before_its_answers(worker: Any, caplog: pytest.LogCaptureFixture) -> None:
    # Many requests in one message are answered in several: each of them fails, only the first is news.
    monitor = worker._router.get_monitor_socket(zmq.EVENT_DISCONNECTED)
    front_end = worker.channel.connect_dealer(worker._hello.endpoint, identity=b"frontend-0/1")
    requests = [Infer(i, "m", 1, "serving_default", 0, [], ()) for i in range(100)]
    front_end.send(msgspec.msgpack.encode(InferBatch(requests, [])))
    assert worker._router.poll(PATIENCE_MS)
    front_end.close(linger=0)
    assert monitor.poll(PATIENCE_MS)
    assert recv_monitor_message(monitor)["event"] == zmq.EVENT_DISCONNECTED
    worker._router.disable_monitor()
    worker._read_requests()
    assert worker._outboxes == {}
    assert "dropping" in caplog.text
    assert worker._engine.outstanding == 0
