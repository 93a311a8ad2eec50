"""The worker's loop in this process, step by step, where a process of its own could not be timed so well."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

import numpy as np
import pytest

from protos.channel import Channel
from protos.configs import WorkerConfig
from protos.errors import Code, ServingError
from protos.messages import PROTOCOL_VERSION, Welcome


@pytest.fixture
def worker() -> Iterator[Any]:
    from workers.worker import Worker

    channel = Channel()
    made = Worker(
        channel,
        control="inproc://control",
        name="worker-0",
        incarnation="1",
        bind="inproc://worker",
        advertise="",
        device="",
    )
    made._welcome(Welcome(protocol=PROTOCOL_VERSION, worker=WorkerConfig()))
    yield made
    made._runners.close()
    made._loaders.close()
    channel.close()


def test_answers_to_a_front_end_that_has_gone(worker: Any, caplog: pytest.LogCaptureFixture) -> None:
    from workers.engine import Outbox
    from workers.task import Task

    # The requests of one message are answered in several messages, each of which fails.
    outbox = worker._outboxes[b"gone"] = Outbox(b"gone")
    waiting = outbox.waiting[9] = Task([np.zeros(1)], 1, 0, None)
    for request_id in range(3):
        outbox.fail(request_id, ServingError(Code.INTERNAL, "whatever"))
        worker._send(outbox)
        assert outbox.replies == []
        assert worker._outboxes == {}
    assert caplog.text.count("dropping 1 replies") == 3
    assert waiting.cancelled, "nobody waits for it any more"
    # It may be back by the time the last of its old requests is answered.
    again = worker._outboxes[b"gone"] = Outbox(b"gone")
    outbox.fail(4, ServingError(Code.INTERNAL, "whatever"))
    worker._send(outbox)
    assert worker._outboxes == {b"gone": again}
