"""Messages survive the wire."""

from __future__ import annotations

import msgspec
import pytest

from protos import messages as m
from protos.configs import BatchingConfig, FrontendConfig, WorkerConfig


@pytest.mark.parametrize(
    "message",
    [
        m.Hello(
            protocol=1, role="worker", name="worker-0", incarnation="ab", pid=7, endpoint="ipc://x", device="GPU 0"
        ),
        m.WorkerReport(
            seq=2,
            full=True,
            epoch=9,
            servables=[m.ServableReport(name="m", version=1, state=30, signatures=b"\0\xff")],
        ),
        m.FrontendReport(epoch=1, grpc_open=True, rest_error="in use"),
        m.Heartbeat(epoch=3),
        m.ReloadRequest(id=1, config=b"\x0a\x00"),
    ],
)
def test_to_control(message: m.ToControl) -> None:
    assert msgspec.msgpack.decode(msgspec.msgpack.encode(message), type=m.ToControl) == message


@pytest.mark.parametrize(
    "message",
    [
        m.Welcome(protocol=1, worker=WorkerConfig(batching=BatchingConfig(num_batch_threads=2))),
        m.Welcome(protocol=1, frontend=FrontendConfig(grpc_port=1, idle_timeout_seconds=0.5)),
        m.Rejected(reason="no"),
        m.Desired(epoch=1, servables=[m.DesiredServable(name="m", version=2, path="/models/m/2")]),
        m.Catalog(
            epoch=4,
            serving=True,
            workers=[m.WorkerEntry(id=1, name="worker-0", incarnation="x", endpoint="ipc://y")],
            models=[
                m.ModelEntry(
                    name="m", labels={"stable": 2}, versions=[m.VersionEntry(version=2, state=30, workers=[1])]
                )
            ],
        ),
        m.ReloadReply(id=1, code=3, message="bad"),
        m.Resync(),
        m.Stop(grace_seconds=1.5),
    ],
)
def test_to_peer(message: m.ToPeer) -> None:
    assert msgspec.msgpack.decode(msgspec.msgpack.encode(message), type=m.ToPeer) == message


def test_data_plane() -> None:
    tensors = [m.Tensor(1, (2,), b"12345678"), m.Tensor(7, (2,), [b"", b"\xff"]), m.Tensor(1, (1 << 20,), 3)]
    batch = m.InferBatch([m.Infer(1, "m", 2, "serving_default", 500, tensors, (1, 0))], [9, 8])
    assert msgspec.msgpack.decode(msgspec.msgpack.encode(batch), type=m.InferBatch) == batch
    replies = m.ReplyBatch([m.Reply(1, 0, "", tensors), m.Reply(2, m.CODE_GONE, "gone", [])])
    assert msgspec.msgpack.decode(msgspec.msgpack.encode(replies), type=m.ReplyBatch) == replies


def test_views_of_a_request_travel_as_bytes() -> None:
    infer = m.Infer(1, "m", 2, "s", 0, [m.Tensor(1, (1,), memoryview(b"xabcd")[1:])], ())  # type: ignore[arg-type]
    decoded = msgspec.msgpack.decode(msgspec.msgpack.encode(m.InferBatch([infer], [])), type=m.InferBatch)
    assert decoded.requests[0].inputs[0].data == b"abcd"


@pytest.mark.parametrize("data", [b"", b"\xc1", b"\x93\x01\x02\x03", b"\x92\xc0\xc0"])
def test_other_bytes_are_refused(data: bytes) -> None:
    with pytest.raises(msgspec.DecodeError):
        msgspec.msgpack.decode(data, type=m.InferBatch)
