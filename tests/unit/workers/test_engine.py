"""The engine with real models: every request is answered once, whatever happens to it."""

from __future__ import annotations

import random
import threading
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from protos.configs import BatchingConfig, WorkerConfig
from protos.dtypes import DT_FLOAT, DT_STRING
from protos.errors import Code
from protos.messages import CODE_GONE, DesiredServable, Infer, Reply, State, Tensor
from workers.engine import Outbox
from workers.run_mode import Lane
from workers.servable import Prepared
from workers.takeover import Deposed
from workers.tensors import from_array, to_array

PATIENCE_S = 30.0


class Gate:
    """Holds every run of a graph, wherever it runs, until opened; `runs` are the inputs of those that began."""

    def __init__(self, monkeypatch: pytest.MonkeyPatch) -> None:
        self.runs: list[list[Any]] = []
        self._open = threading.Event()
        real = Prepared.run

        def run(prepared: Prepared, lane: Lane, arrays: Any) -> Any:
            self.runs.append(list(arrays))
            assert self._open.wait(PATIENCE_S), "the gate was never opened"
            return real(prepared, lane, arrays)

        monkeypatch.setattr(Prepared, "run", run)

    def open(self) -> None:
        self._open.set()


@pytest.fixture
def gate(monkeypatch: pytest.MonkeyPatch) -> Iterator[Gate]:
    made = Gate(monkeypatch)
    yield made
    made.open()


class Server:
    """Parts with one model loaded, and a front end's outbox; ids of requests count from 1."""

    def __init__(self, parts: Any, path: Path) -> None:
        self.parts = parts
        self.engine = parts.engine
        self.outbox = Outbox(b"front end")
        self.sent = 0
        parts.residency.apply([DesiredServable(name="m", version=1, path=str(path))])
        self.resident = parts.until(lambda: parts.residency.available.get(("m", 1)), "AVAILABLE")

    def call_cheap(self, signature: str = "serving_default") -> None:
        """On a busy machine nothing is fast: let all calls of a signature count as cheap."""
        self.resident.servable.prepared(signature, ()).modes.inline_limit_us = 1e9

    def ask(
        self,
        *inputs: Any,
        signature: str = "serving_default",
        outputs: tuple[int, ...] = (),
        timeout_us: int = 0,
        version: int = 1,
    ) -> int:
        """Send a request; floats are float32."""
        self.sent += 1
        buffers: list[Any] = []
        tensors = [
            from_array(np.asarray(value, np.float32) if _is_number(value) else value, buffers) for value in inputs
        ]
        self.engine.infer(self.outbox, Infer(self.sent, "m", version, signature, timeout_us, tensors, outputs), buffers)
        return self.sent

    def held(self, gate: Gate, *inputs: Any, **named: Any) -> int:
        """Send a request and wait until it runs into the gate."""
        before = len(gate.runs)
        request_id = self.ask(*inputs, **named)
        self.parts.until(lambda: len(gate.runs) > before, "the run")
        return request_id

    def replies(self, count: int | None = None) -> dict[int, Reply]:
        """The replies so far, when there are `count` of them; all, and nothing left behind, without it."""
        self.parts.until(lambda: len(self.outbox.replies) >= (self.sent if count is None else count), "replies")
        replies = {reply.id: reply for reply in self.outbox.replies}
        assert len(replies) == len(self.outbox.replies), "answered twice"
        if count is None:
            assert (self.engine.outstanding, self.resident.in_flight, self.outbox.waiting) == (0, 0, {})
        return replies

    def arrays(self, reply: Reply) -> list[np.ndarray]:
        assert (reply.code, reply.message) == (0, "")
        return [to_array(tensor, self.outbox.frames) for tensor in reply.outputs]


def _is_number(value: Any) -> bool:
    return not (isinstance(value, np.ndarray) and value.dtype == object)


@pytest.fixture
def server(parts: Callable[..., Any], model_path: Callable[[str], Path]) -> Callable[..., Server]:
    def make(model: str, *, run_threads: int = 1, batching: dict[str, Any] | None = None, **config: Any) -> Server:
        settings = None
        if batching is not None:
            settings = BatchingConfig(**{"num_batch_threads": 1, **batching})
        made = parts(WorkerConfig(batching=settings, **config), run_threads=run_threads)
        return Server(made, model_path(model))

    return make


def strings(*values: bytes) -> np.ndarray:
    return np.array(values, object)


# --- one by one ----------------------------------------------------------------------------------------------------


def test_cheap_requests_are_answered_at_once_after_a_few(server: Callable[..., Server]) -> None:
    made = server("half_plus_two")
    made.call_cheap()
    for _ in range(20):
        made.replies(made.ask([1.0, 2.0, 5.0]))
    before = len(made.outbox.replies)
    request_id = made.ask([4.0, 4.0, 4.0])  # as many bytes: costs are kept by size
    assert [reply.id for reply in made.outbox.replies[before:]] == [request_id]
    replies = made.replies()
    assert all(made.arrays(replies[i])[0].tolist() == [2.5, 3.0, 4.5] for i in range(1, 21))
    assert made.arrays(replies[request_id])[0].tolist() == [4.0] * 3


def test_expensive_requests_stay_off_the_reading_thread(server: Callable[..., Server]) -> None:
    made = server("slow")
    for _ in range(12):
        made.replies(made.ask([0.002]))
    before = len(made.outbox.replies)
    made.ask([0.002])
    assert len(made.outbox.replies) == before
    made.replies()


def test_a_call_that_returns_before_it_is_adopted(
    server: Callable[..., Server], monkeypatch: pytest.MonkeyPatch
) -> None:
    made = server("half_plus_two")
    made.call_cheap()
    for _ in range(20):
        made.replies(made.ask([1.0, 2.0, 5.0]))
    real, calls = Prepared.run, []

    def run(prepared: Prepared, lane: Lane, arrays: Any) -> Any:
        calls.append(made.engine.takeover._token.pop())  # as the watchdog does when it deposes this thread
        return real(prepared, lane, arrays)

    monkeypatch.setattr(Prepared, "run", run)
    with pytest.raises(Deposed):
        made.ask([4.0, 4.0, 4.0])
    made.engine.adopt(calls[0])
    assert made.arrays(made.replies()[made.sent])[0].tolist() == [4.0, 4.0, 4.0]


@pytest.mark.parametrize("warm", [False, True], ids=["executor", "inline"])
def test_errors_of_single_requests(server: Callable[..., Server], warm: bool) -> None:
    made = server("half_plus_two")
    for signature in ("serving_default", "regress_x2_to_y3"):
        made.call_cheap(signature)
        for _ in range(20 if warm else 0):
            made.replies(made.ask([2.0], signature=signature))
    wrong = {
        made.ask([1.0], version=2): (CODE_GONE, "Servable not found for request: Specific(m, 2)"),
        made.ask([1.0], signature="no"): (Code.FAILED_PRECONDITION, 'Serving signature key "no" not found.'),
        made.ask(strings(b"x")): (
            Code.INVALID_ARGUMENT,
            "Expects arg[0] to be float but string is provided",
        ),
        made.ask([1.0], [2.0]): (Code.INTERNAL, "a front end sent another number of inputs than the signature has"),
        made.ask([1.0], outputs=(7,)): (
            Code.INTERNAL,
            "a front end asked for an output that the signature does not have",
        ),
    }
    kernel = made.ask(strings(b"\xff"), signature="regress_x_to_y")
    good = made.ask([2.0])
    made.sent += 1
    bad_tensor = made.sent
    made.engine.infer(
        made.outbox, Infer(bad_tensor, "m", 1, "serving_default", 0, [Tensor(DT_FLOAT, (3,), b"")], ()), []
    )
    replies = made.replies()
    for request_id, expected in wrong.items():
        assert (replies[request_id].code, replies[request_id].message) == expected
    assert replies[kernel].code == Code.INVALID_ARGUMENT
    assert replies[bad_tensor].code == Code.INTERNAL
    assert made.arrays(replies[good])[0].tolist() == [3.0]


def test_signatures_without_inputs_and_state(server: Callable[..., Server]) -> None:
    made = server("counter")
    for signature, inputs, expected in (
        ("get_counter", (), 0),
        ("incr_counter", (), 1),
        ("reset_counter", (), 0),
        ("incr_counter", (), 1),
        ("incr_counter_by", (3.0,), 4),
    ):
        request_id = made.ask(*inputs, signature=signature)
        (output,) = made.arrays(made.replies()[request_id])
        assert (output.shape, output.item()) == ((), expected)


def test_large_outputs_are_frames(server: Callable[..., Server]) -> None:
    from tests.reference import wide

    made = server("wide")
    x = np.arange(6, dtype=np.float32).reshape(6, 1)
    ids = [made.ask(x), made.ask(x[:1]), made.ask(x + 1)]
    replies = made.replies()
    assert [type(replies[i].outputs[0].data) for i in ids] == [int, bytes, int]
    for i, given in zip(ids, (x, x[:1], x + 1), strict=True):
        assert np.allclose(made.arrays(replies[i])[0], wide(given))


def test_the_number_of_waiting_requests_is_bounded(server: Callable[..., Server], gate: Gate) -> None:
    made = server("half_plus_two", max_outstanding_requests=2)
    accepted = [made.held(gate, [2.0]), made.ask([4.0])]
    refused = made.ask([6.0])
    (reply,) = made.outbox.replies
    assert (reply.id, reply.code) == (refused, Code.UNAVAILABLE)
    assert "2 requests outstanding" in reply.message
    gate.open()
    made.replies()
    accepted.append(made.ask([8.0]))
    replies = made.replies()
    assert [made.arrays(replies[i])[0].tolist() for i in accepted] == [[3.0], [4.0], [6.0]]


BATCHING = [None, {"batch_timeout_micros": 0, "max_batch_size": 1}]


@pytest.mark.parametrize("batching", BATCHING, ids=["alone", "batching"])
def test_cancelled_and_expired_requests_never_run(
    server: Callable[..., Server], gate: Gate, batching: dict[str, Any] | None
) -> None:
    made = server("batching", batching=batching)
    first = made.held(gate, [[1.0]])
    cancelled, expired, late = made.ask([[2.0]]), made.ask([[3.0]], timeout_us=1), made.ask([[4.0]])
    made.engine.cancel(made.outbox, [cancelled, first, 12345])
    gate.open()
    replies = made.replies()
    assert replies[cancelled].code == Code.CANCELLED
    assert replies[expired].code in (Code.DEADLINE_EXCEEDED, Code.RESOURCE_EXHAUSTED)
    assert made.arrays(replies[late])[0].shape == (1,)
    assert sorted(run[0].item() for run in gate.runs) == [1.0, 4.0]
    made.engine.cancel(made.outbox, [cancelled, expired, late])  # too late: no harm
    assert len(made.outbox.replies) == 4


@pytest.mark.parametrize("batching", [None, {"max_batch_size": 2, "batch_timeout_micros": 60_000_000}])
def test_unloading_drains(server: Callable[..., Server], gate: Gate, batching: dict[str, Any] | None) -> None:
    made = server("batching", batching=batching)
    ids = [made.held(gate, [[1.0], [1.0]])]
    ids += [made.ask([[float(i)]]) for i in range(2, 5)]  # the last one of an odd number waits for a second
    made.parts.residency.apply([])
    gone = made.ask([[9.0]])
    assert made.outbox.replies[-1].code == CODE_GONE
    assert made.parts.states() == {("m", 1): State.UNLOADING}
    gate.open()
    replies = made.replies()
    assert replies[gone].code == CODE_GONE
    assert [made.arrays(replies[i])[1].ravel().tolist()[0] for i in ids] == [2.0, 4.0, 6.0, 8.0]
    made.parts.until(lambda: not made.parts.residency.busy, "unloaded")
    assert made.resident.servable is None


def test_a_version_in_use_is_not_freed(server: Callable[..., Server], gate: Gate) -> None:
    made = server("half_plus_two")
    session = made.resident.servable._session
    made.held(gate, [2.0])
    made.parts.residency.apply([])
    for _ in range(5):
        made.parts.turn()
    assert not session.closed
    gate.open()
    replies = made.replies()
    assert made.arrays(replies[1])[0].tolist() == [3.0]
    made.parts.until(lambda: session.closed, "closed")


def test_a_repeated_id_of_a_broken_front_end_leaks_nothing(server: Callable[..., Server], gate: Gate) -> None:
    made = server("half_plus_two")
    made.held(gate, [2.0])
    made.sent = 0
    made.ask([4.0])
    gate.open()
    made.parts.until(lambda: not made.engine.outstanding, "both through")
    made.replies()


# --- batches -------------------------------------------------------------------------------------------------------


def test_requests_that_wait_are_merged(server: Callable[..., Server], gate: Gate) -> None:
    made = server("batching", batching={})
    first = made.held(gate, [[0.5]])
    ids = {made.ask(np.full((rows, 1), rows)): rows for rows in (1, 2, 3)}
    gate.open()
    replies = made.replies()
    assert made.arrays(replies[first])[0].tolist() == [1]
    for request_id, rows in ids.items():
        ran, y = made.arrays(replies[request_id])
        assert ran.tolist() == [6] * rows
        assert y.tolist() == [[2.0 * rows]] * rows


def test_a_batch_waits_for_its_timeout_or_until_it_is_full(server: Callable[..., Server]) -> None:
    made = server("batching", batching={"max_batch_size": 3, "batch_timeout_micros": 60_000_000})
    made.ask([[1.0]])
    made.ask([[1.0]])
    for _ in range(5):
        made.parts.turn()
    assert made.outbox.replies == []
    made.ask([[1.0]])
    assert {made.arrays(reply)[0].item() for reply in made.replies().values()} == {3}
    made = server("batching", batching={"max_batch_size": 3, "batch_timeout_micros": 20_000})
    made.ask([[1.0]])
    assert made.arrays(made.replies()[1])[0].tolist() == [1]


def test_other_shapes_and_outputs_go_apart(server: Callable[..., Server], gate: Gate) -> None:
    made = server("batching", batching={})
    made.held(gate, [[0.5]])
    pair = [made.ask([[1.0, 1.0]]), made.ask([[2.0, 2.0]])]
    single, filtered = made.ask([[3.0]]), made.ask([[4.0]], outputs=(0,))
    gate.open()
    replies = made.replies()
    assert [made.arrays(replies[i])[0].tolist() for i in pair] == [[2], [2]]
    assert made.arrays(replies[single])[0].tolist() == [1]
    assert [array.tolist() for array in made.arrays(replies[filtered])] == [[1]]


def test_one_bad_request_does_not_spoil_a_batch(server: Callable[..., Server], gate: Gate) -> None:
    from tensorflow.core.example.example_pb2 import Example

    made = server("half_plus_two", batching={})
    example = Example()
    example.features.feature["x"].float_list.value.append(2.0)
    good, bad = strings(example.SerializeToString()), strings(b"\xff")
    ids = [made.held(gate, good, signature="regress_x_to_y")]
    ids += [made.ask(value, signature="regress_x_to_y") for value in (good, bad, good)]
    gate.open()
    replies = made.replies()
    assert [replies[i].code for i in ids] == [0, 0, Code.INVALID_ARGUMENT, 0]
    assert [len(run[0]) for run in gate.runs] == [1, 3, 1, 1, 1]
    assert made.arrays(replies[ids[3]])[0].ravel().tolist() == [3.0]


def test_expired_in_the_batching_queue(server: Callable[..., Server], gate: Gate) -> None:
    made = server("batching", batching={})
    made.held(gate, [[0.5]])
    expired, alive = made.ask([[1.0]], timeout_us=1), made.ask([[2.0]], timeout_us=60_000_000)
    all_late = made.ask([[1.0, 1.0]], timeout_us=1)
    gate.open()
    replies = made.replies()
    assert replies[expired].code == Code.DEADLINE_EXCEEDED
    assert made.arrays(replies[alive])[0].tolist() == [1]
    assert replies[all_late].code == Code.RESOURCE_EXHAUSTED
    assert replies[all_late].message == "Run() timeout exceeded while waiting in batching queue"


@pytest.mark.parametrize(
    ("model", "signature", "inputs", "code", "message"),
    [
        ("counter", "get_counter", [], Code.INVALID_ARGUMENT, "Batching Run() must have at least one input tensor"),
        (
            "batching",
            "serving_default",
            [1.0],
            Code.INVALID_ARGUMENT,
            "Batching Run() input tensors must have at least one dimension",
        ),
        (
            "batching",
            "pair",
            [[1.0, 2.0], [[1.0]]],
            Code.INVALID_ARGUMENT,
            "Batching Run() input tensors must have equal 0th-dimension size",
        ),
        (
            "batching",
            "serving_default",
            [[[1.0]] * 9],
            Code.INVALID_ARGUMENT,
            "Task size 9 is larger than maximum input batch size 8",
        ),
        (
            "batching",
            "scalar_output",
            [[[1.0]]],
            Code.FAILED_PRECONDITION,
            "Batched output tensor has 0 dimensions",
        ),
        (
            "batching",
            "short_output",
            [[[1.0], [2.0]]],
            Code.FAILED_PRECONDITION,
            "Batched output tensor's 0th dimension does not equal the sum of the 0th dimension sizes of the input "
            "tensors",
        ),
    ],
)
def test_what_batching_refuses(
    server: Callable[..., Server], model: str, signature: str, inputs: list[Any], code: Code, message: str
) -> None:
    made = server(model, batching={"max_batch_size": 8})
    request_id = made.ask(*inputs, signature=signature)
    reply = made.replies()[request_id]
    assert (reply.code, reply.message) == (code, message)


def test_a_full_queue_refuses(server: Callable[..., Server], gate: Gate) -> None:
    made = server("batching", batching={"max_batch_size": 1, "max_enqueued_batches": 2})
    made.held(gate, [[1.0]])
    made.ask([[1.0]])
    made.ask([[1.0]])
    refused = made.ask([[1.0]])
    gate.open()
    replies = made.replies()
    assert replies[refused].code == Code.UNAVAILABLE
    assert replies[refused].message.endswith("currently 2 batches enqueued and max_enqueued_batches is 2")
    assert [reply.code for reply in replies.values() if reply.id != refused] == [0, 0, 0]


def test_a_request_without_rows_runs_alone(server: Callable[..., Server]) -> None:
    made = server("batching", batching={"allowed_batch_sizes": (2, 4), "max_batch_size": 4})
    made.ask(np.zeros((0, 3), np.float32))
    rows, y = made.arrays(made.replies()[1])
    assert (rows.shape, y.shape) == ((0,), (0, 3))


def test_allowed_batch_sizes_are_padded_to(server: Callable[..., Server]) -> None:
    made = server("batching", batching={"allowed_batch_sizes": (2, 4), "max_batch_size": 4})
    made.ask([[1.0], [2.0], [3.0]])
    rows, y = made.arrays(made.replies()[1])
    assert (rows.tolist(), y.tolist()) == ([4, 4, 4], [[2.0], [4.0], [6.0]])


def test_variable_lengths_are_padded(server: Callable[..., Server], gate: Gate) -> None:
    made = server("batching", batching={"pad_variable_length_inputs": True})
    made.held(gate, [[0.5]])
    short, long = made.ask([[3.0, 1.0]]), made.ask([[1.0, 2.0, 3.0]])
    gate.open()
    replies = made.replies()
    rows, y = made.arrays(replies[short])
    assert (rows.tolist(), y.tolist()) == ([2], [[6.0, 2.0, 6.0]])
    assert made.arrays(replies[long])[1].tolist() == [[2.0, 4.0, 6.0]]


SPLITTING = {"enable_large_batch_splitting": True, "max_batch_size": 8, "max_execution_batch_size": 3}


def test_large_requests_are_split(server: Callable[..., Server], gate: Gate) -> None:
    made = server("batching", batching=SPLITTING)
    made.held(gate, [[0.5]])
    small, large = made.ask([[7.0]]), made.ask([[float(i)] for i in range(8)])
    gate.open()
    replies = made.replies()
    rows, y = made.arrays(replies[large])
    assert y.ravel().tolist() == [2.0 * i for i in range(8)]
    assert rows.tolist() == [3] * 8
    assert made.arrays(replies[small])[0].tolist() == [3]


def test_one_bad_piece_fails_its_request_once(server: Callable[..., Server], gate: Gate) -> None:
    from tensorflow.core.example.example_pb2 import Example

    made = server("half_plus_two", batching=SPLITTING)
    example = Example()
    example.features.feature["x"].float_list.value.append(2.0)
    good = example.SerializeToString()
    made.held(gate, strings(good), signature="regress_x_to_y")
    bad = made.ask(strings(good, b"\xff", *[good] * 6), signature="regress_x_to_y")
    other = made.ask(strings(good), signature="regress_x_to_y")
    gate.open()
    replies = made.replies()
    assert replies[bad].code == Code.INVALID_ARGUMENT
    assert made.arrays(replies[other])[0].tolist() == [[3.0]]


def test_cancelling_a_split_request_drops_its_pieces(server: Callable[..., Server], gate: Gate) -> None:
    made = server("batching", batching=SPLITTING)
    made.held(gate, [[0.5]])
    cancelled, alive = made.ask([[1.0]] * 7), made.ask([[2.0]])
    made.engine.cancel(made.outbox, [cancelled])
    gate.open()
    replies = made.replies()
    assert replies[cancelled].code == Code.CANCELLED
    assert made.arrays(replies[alive])[0].tolist() == [1]
    assert len(gate.runs) == 2


@pytest.mark.parametrize("batching", [None, SPLITTING], ids=["alone", "splitting"])
@pytest.mark.parametrize("seed", range(3))
def test_whatever_happens_each_request_is_answered_once(
    server: Callable[..., Server], batching: dict[str, Any] | None, seed: int
) -> None:
    chance = random.Random(seed)
    if batching is not None:
        batching = {**batching, "num_batch_threads": 2, "batch_timeout_micros": 300}
    made = server("batching", run_threads=2, batching=batching, max_outstanding_requests=40)
    expected: dict[int, list[list[float]]] = {}
    for step in range(300):
        kind = chance.random()
        rows = [[float(chance.randrange(9))] * chance.choice([1, 1, 2])] * chance.randrange(0, 10)
        x = np.array(rows, np.float32) if rows else np.zeros((0, 1), np.float32)
        signature = chance.choice(["serving_default", "serving_default", "ragged_sum", "short_output", "nope"])
        request_id = made.ask(x, signature=signature, timeout_us=chance.choice([0, 0, 1, 500, 1_000_000]))
        if signature == "serving_default":
            expected[request_id] = (2 * x).tolist()
        if kind < 0.2:
            made.engine.cancel(made.outbox, [chance.randrange(1, made.sent + 1)])
        if kind > 0.5:
            made.parts.turn()
        if step == 280:
            made.parts.residency.apply([])
    replies = made.replies()
    for request_id, y in expected.items():
        if replies[request_id].code == 0:
            assert made.arrays(replies[request_id])[1].tolist() == y
    assert {reply.code for reply in replies.values()} >= {0, CODE_GONE, Code.FAILED_PRECONDITION}
    made.parts.until(lambda: not made.parts.residency.busy, "unloaded")


def test_strings_in_and_out(server: Callable[..., Server], gate: Gate) -> None:
    made = server("identity", batching={})
    ids = [made.held(gate, strings(b"a"), signature="string")]
    ids += [made.ask(strings(*values), signature="string") for values in ((b"\xff", b""), (b"c",))]
    gate.open()
    replies = made.replies()
    assert [replies[i].outputs for i in ids] == [
        [Tensor(DT_STRING, (1,), [b"a"])],
        [Tensor(DT_STRING, (2,), [b"\xff", b""])],
        [Tensor(DT_STRING, (1,), [b"c"])],
    ]
