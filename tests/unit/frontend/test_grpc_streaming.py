"""Streaming calls on real loops and sockets: messages, ends of all kinds, bounds."""

from __future__ import annotations

import asyncio
import gzip
import queue
from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any

import grpc
import ngh2
import pytest

from frontend import connections as connections_module
from frontend.connections import Connections
from frontend.grpc import streaming, wire
from frontend.grpc.connection import GrpcConnection
from frontend.grpc.stream import Stream
from frontend.grpc.streaming import StreamingCall, StreamingMethod
from protos.configs import FrontendConfig, GrpcConfig
from protos.errors import Code, invalid_argument
from tests.doors import Doors
from tests.http2_client import Client
from tests.loops import wait_until

LIMIT = 1 << 20


@pytest.fixture(autouse=True)
def _quick_sweep(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(connections_module, "_SWEEP_S", 0.02)


class Talk:
    """One call: does what each message says, and notes what it is told."""

    def __init__(self, call: StreamingCall, service: Service) -> None:
        self.call = call
        self.service = service
        self.told: list[object] = []
        service.talks.append(self)

    def on_message(self, message: bytes) -> None:
        self.told.append(message if len(message) < 100 else len(message))
        word, _, rest = message.partition(b" ")
        if word == b"refuse":
            raise invalid_argument(rest.decode())
        if word == b"bug":
            raise KeyError("a bug")
        if word == b"finish":
            self.call.finish()
        elif word == b"repeat":
            for number in range(int(rest)):
                self.call.send(b"%d" % number)
        elif word == b"large":
            self.call.send(bytes(int(rest)))
        elif word != b"hush":
            self.call.send(message, b"!")

    def on_half_close(self) -> None:
        self.told.append("half-close")
        if not self.service.lasting:
            self.call.finish()

    def on_drain(self) -> None:
        self.told.append("drain")
        self.call.send(b"goodbye")

    def on_end(self) -> None:
        self.told.append("end")


class Service:
    def __init__(self) -> None:
        self.talks: list[Talk] = []
        self.lasting = False
        self.table = {
            b"/test/Talk": StreamingMethod(lambda call: Talk(call, self)),
            b"/test/Short": StreamingMethod(lambda call: Talk(call, self), max_message_bytes=10),
            b"/test/Watch": StreamingMethod(lambda call: Talk(call, self), one_request=True),
            b"/test/Refuse": StreamingMethod(self.refuse),
            b"/test/Echo": self.echo,
        }

    def refuse(self, call: StreamingCall) -> Talk:
        raise invalid_argument("not like this")

    def echo(self, stream: Stream, message: bytes | memoryview) -> None:
        stream.reply(bytes(message))


class Grpc(Doors):
    def __init__(self, loop: str = "uvloop", **config: object) -> None:
        self.service = Service()

        def make(
            running: asyncio.AbstractEventLoop, settings: FrontendConfig, connections: Connections
        ) -> asyncio.BaseProtocol:
            return GrpcConnection(running, settings, connections, self.service.table)

        super().__init__(make, FrontendConfig(**{"max_message_bytes": LIMIT, **config}), loop=loop)

    def told(self, number: int = 0) -> list[object]:
        return self.service.talks[number].told

    def wait_for_talks(self, count: int) -> None:
        wait_until(lambda: len(self.service.talks) >= count)

    def clean(self) -> bool:
        """No call, no stream and no byte of one is left."""

        def look() -> bool:
            kept: list[Any] = list(self.connections._open)
            left = [c for c in kept if c._calls or c._sending or c._streams or c._unsent]
            return not left and self.connections.buffered_bytes == 0

        return self.call(look)


@pytest.fixture(params=["uvloop", "asyncio"])
def doors(request: pytest.FixtureRequest) -> Iterator[Grpc]:
    with Grpc(request.param) as opened:
        yield opened


@contextmanager
def channel_to(doors: Grpc, **options: object) -> Iterator[grpc.Channel]:
    every = [("grpc.max_receive_message_length", -1), ("grpc.use_local_subchannel_pool", 1), *options.items()]
    with grpc.insecure_channel(f"127.0.0.1:{doors.port}", options=every) as channel:
        yield channel


@contextmanager
def client_of(doors: Grpc) -> Iterator[Client]:
    with doors.connect() as sock:
        yield Client(sock)


class Questions:
    """What a client of grpcio says on a stream, one by one."""

    def __init__(self) -> None:
        self._queue: queue.Queue[bytes | None] = queue.Queue()

    def say(self, *messages: bytes) -> None:
        for message in messages:
            self._queue.put(message)

    def end(self) -> None:
        self._queue.put(None)

    def __iter__(self) -> Iterator[bytes]:
        return iter(self._queue.get, None)


@contextmanager
def talk(doors: Grpc, name: str = "Talk", **more: Any) -> Iterator[tuple[Questions, Any]]:
    questions = Questions()
    with channel_to(doors) as channel:
        call = channel.stream_stream(f"/test/{name}")(iter(questions), timeout=more.pop("timeout", 10), **more)
        try:
            yield questions, call
        finally:
            questions.end()
            call.cancel()


def outcome(call: Any) -> tuple[str, str]:
    """Status and details of a call that fails."""
    with pytest.raises(grpc.RpcError):
        for _ in call:
            pass
    return call.code().name, call.details()


# --- messages ------------------------------------------------------------------------------------------------------


def test_messages_go_back_and_forth(doors: Grpc) -> None:
    with talk(doors) as (questions, call):
        for word in (b"one", b"", b"two", b"three" * 10):
            questions.say(word)
            assert next(call) == word + b"!"
        questions.end()
        assert list(call) == [] and call.code() is grpc.StatusCode.OK
    assert doors.told() == [b"one", b"", b"two", b"three" * 10, "half-close", "end"]
    wait_until(doors.clean)


@pytest.mark.parametrize("compression", [grpc.Compression.Gzip, grpc.Compression.Deflate])
def test_compressed_messages(doors: Grpc, compression: grpc.Compression) -> None:
    with talk(doors, compression=compression) as (questions, call):
        for size in (500, 100_000):
            questions.say(b"x" * size)
            assert next(call) == b"x" * size + b"!"


def test_many_answers_to_one_question(doors: Grpc) -> None:
    with channel_to(doors) as channel:
        watch = channel.unary_stream("/test/Watch")
        assert list(watch(b"repeat 3000", timeout=10)) == [b"%d" % i for i in range(3000)]
    assert doors.told() == [b"repeat 3000", "half-close", "end"]


def test_no_answer_at_all(doors: Grpc) -> None:
    with channel_to(doors) as channel:
        assert list(channel.unary_stream("/test/Watch")(b"hush", timeout=10)) == []


def test_answers_of_every_size_arrive(doors: Grpc) -> None:
    with talk(doors) as (questions, call):
        for size in (0, 65_535, 65_536, streaming.QUEUE_BYTES + 100_000):
            questions.say(b"large %d" % size)
            assert next(call) == bytes(size)


def test_many_calls_beside_unary_ones(doors: Grpc) -> None:
    with channel_to(doors) as channel:
        watches = [channel.unary_stream("/test/Watch")(b"repeat 20", timeout=10) for _ in range(50)]
        echoes = [channel.unary_unary("/test/Echo").future(b"%d" % i, timeout=10) for i in range(50)]
        assert all(len(list(watch)) == 20 for watch in watches)
        assert [echo.result() for echo in echoes] == [b"%d" % i for i in range(50)]
    wait_until(doors.clean)


@pytest.mark.parametrize("cut", [1, 3, 7])
def test_messages_in_pieces(doors: Grpc, cut: int) -> None:
    with client_of(doors) as client:
        stream = client.request(b"/test/Talk", grpc_encoding=b"gzip")
        packed = gzip.compress(b"packed")
        body = wire.frame(b"a") + b"\1" + wire.frame(packed)[1:] + wire.frame(b"") + wire.frame(b"bc")
        for at in range(0, len(body), cut):
            client.http2.send_data(stream, body[at : at + cut])
            client.send()
        client.http2.end_stream(stream)
        client.send()
        assert client.outcome(stream)[b"grpc-status"] == b"0"
        answers = b"".join(e.data for e in client.events if type(e) is ngh2.DataReceived)
        assert answers == b"".join(wire.frame(word + b"!") for word in (b"a", b"packed", b"", b"bc"))
    assert doors.told() == [b"a", b"packed", b"", b"bc", "half-close", "end"]


# --- ends ----------------------------------------------------------------------------------------------------------


def test_an_error_after_answers(doors: Grpc) -> None:
    with talk(doors) as (questions, call):
        questions.say(b"one", "refuse this, ünd %".encode(), b"never")
        assert next(call) == b"one!"
        assert outcome(call) == ("INVALID_ARGUMENT", "this, ünd %")
    assert doors.told() == [b"one", "refuse this, ünd %".encode(), "end"]


@pytest.mark.parametrize("before", [[], [b"one"]])
def test_a_bug_is_that_calls_alone(doors: Grpc, before: list[bytes]) -> None:
    with talk(doors) as (questions, call):
        questions.say(*before, b"bug")
        assert [next(call) for _ in before] == [b"one!" for _ in before]
        assert outcome(call) == ("INTERNAL", "internal error")
    assert doors.told()[-1] == "end"


def test_a_handler_that_refuses_to_begin(doors: Grpc) -> None:
    with talk(doors, "Refuse") as (questions, call):
        questions.say(b"x")
        assert outcome(call) == ("INVALID_ARGUMENT", "not like this")
    wait_until(doors.clean)


def test_the_server_may_finish_first(doors: Grpc) -> None:
    with client_of(doors) as client:
        stream = client.request(b"/test/Talk")
        client.http2.send_data(stream, wire.frame(b"one") + wire.frame(b"finish") + wire.frame(b"late"))
        client.send()
        assert client.outcome(stream)[b"grpc-status"] == b"0"
        # No more of the client's messages is wanted, and NO_ERROR lets it keep the answer.
        (reset,) = [e for e in client.events if type(e) is ngh2.StreamReset]
        assert (reset.stream_id, reset.error_code) == (stream, 0)
        assert doors.told() == [b"one", b"finish", "end"]
        wait_until(doors.clean)


@pytest.mark.parametrize("how", ["cancel", "disconnect"])
def test_a_client_that_goes_away(doors: Grpc, how: str) -> None:
    doors.service.lasting = True
    with channel_to(doors) as channel:
        call = channel.unary_stream("/test/Watch")(b"one", timeout=30)
        assert next(call) == b"one!"
        if how == "cancel":
            call.cancel()
            wait_until(lambda: doors.told()[-1] == "end")
            assert channel.unary_unary("/test/Echo")(b"next", timeout=10) == b"next"
    wait_until(lambda: doors.told()[-1] == "end")
    assert doors.told() == [b"one", "half-close", "end"]
    doors.call(lambda: doors.service.talks[0].call.send(b"late"))
    doors.call(doors.service.talks[0].call.finish)
    wait_until(doors.clean)


def test_a_deadline_ends_a_call(doors: Grpc) -> None:
    doors.service.lasting = True
    with client_of(doors) as client:
        stream = client.request(b"/test/Watch", grpc_timeout=b"50m")
        client.http2.send_data(stream, wire.frame(b"one"), end_stream=True)
        client.send()
        assert client.outcome(stream)[b"grpc-status"] == b"%d" % Code.DEADLINE_EXCEEDED
    assert doors.told() == [b"one", "half-close", "end"]


def test_a_deadline_that_has_passed(doors: Grpc) -> None:
    with client_of(doors) as client:
        stream = client.request(b"/test/Talk", grpc_timeout=b"0n")
        client.send()
        assert client.outcome(stream)[b"grpc-status"] == b"%d" % Code.DEADLINE_EXCEEDED


@pytest.mark.parametrize(
    ("path", "body", "status"),
    [
        (b"/test/Talk", b"\0\0\0", Code.INTERNAL),
        (b"/test/Talk", b"\0\0\0\0\5abc", Code.INTERNAL),
        (b"/test/Talk", b"\1" + wire.frame(gzip.compress(b"x"))[1:], Code.INTERNAL),
        (b"/test/Talk", wire.frame(b"fine") + b"\0\xff\xff\xff\xff", Code.RESOURCE_EXHAUSTED),
        (b"/test/Short", wire.frame(b"12345678901"), Code.RESOURCE_EXHAUSTED),
        (b"/test/Short", wire.frame(b"1234567890"), Code.OK),
        (b"/test/Watch", b"", Code.INTERNAL),
        (b"/test/Watch", wire.frame(b"a") + wire.frame(b"b"), Code.INTERNAL),
        (b"/test/Watch", wire.frame(b"a"), Code.OK),
        (b"/test/Talk", b"", Code.OK),
    ],
)
def test_framing(doors: Grpc, path: bytes, body: bytes, status: int) -> None:
    with client_of(doors) as client:
        stream = client.request(path)
        client.http2.send_data(stream, body, end_stream=True)
        client.send()
        assert client.outcome(stream)[b"grpc-status"] == b"%d" % status
        wait_until(doors.clean)
    assert doors.told()[-1] == "end"


def test_a_call_that_ends_with_its_headers(doors: Grpc) -> None:
    with client_of(doors) as client:
        headers = [(b":method", b"POST"), (b":scheme", b"http"), (b":authority", b"x"), (b":path", b"/test/Talk")]
        stream = client.http2.send_request([*headers, (b"content-type", b"application/grpc")], end_stream=True)
        client.send()
        assert client.outcome(stream)[b"grpc-status"] == b"0"
    assert doors.told() == ["half-close", "end"]


def test_a_gzip_bomb(doors: Grpc) -> None:
    with talk(doors, compression=grpc.Compression.Gzip) as (questions, call):
        questions.say(bytes(LIMIT + 1))
        assert outcome(call)[0] == "RESOURCE_EXHAUSTED"


def test_drain_says_goodbye(doors: Grpc) -> None:
    doors.service.lasting = True
    with channel_to(doors) as channel:
        calls = [channel.unary_stream("/test/Watch")(b"one", timeout=30) for _ in range(3)]
        assert [next(call) for call in calls] == [b"one!"] * 3
        drained = doors.drain(10)
        for call in calls:
            assert next(call) == b"goodbye"
            assert outcome(call)[0] == "UNAVAILABLE"
        drained.result(5)
    assert doors.told() == [b"one", "half-close", "drain", "end"]


def test_an_old_connection_keeps_its_calls_until_the_server_stops() -> None:
    with Grpc(grpc=GrpcConfig(max_age_seconds=0.03)) as doors, client_of(doors) as client:
        doors.service.lasting = True
        stream = client.request(b"/test/Watch")
        client.http2.send_data(stream, wire.frame(b"one"), end_stream=True)
        client.send()
        client.read_until(lambda: any(type(event) is ngh2.GoAwayReceived for event in client.events))
        doors.call(lambda: doors.service.talks[0].call.send(b"still"))
        received = wire.frame(b"one!") + wire.frame(b"still")
        client.read_until(lambda: b"".join(e.data for e in client.events if type(e) is ngh2.DataReceived) == received)
        drained = doors.drain(10)
        assert client.outcome(stream)[b"grpc-status"] == b"%d" % Code.UNAVAILABLE
        drained.result(5)
    assert doors.told() == [b"one", "half-close", "drain", "end"]


# --- unknown methods -------------------------------------------------------------------------------------------------


def test_an_unknown_method_is_answered_at_once(doors: Grpc) -> None:
    with talk(doors, "Nope") as (questions, call):
        questions.say(b"x")  # and no half-close
        assert outcome(call) == ("UNIMPLEMENTED", "")


def test_an_unknown_method_that_goes_on_sending(doors: Grpc) -> None:
    with client_of(doors) as client:
        client.read_until(lambda: client.http2.remote_settings)
        stream = client.request(b"/test/Nope")
        client.send()
        fields = client.outcome(stream)
        assert (fields[b":status"], fields[b"grpc-status"]) == (b"200", b"12")
        (response,) = [e for e in client.events if type(e) is ngh2.ResponseReceived]
        assert response.end_stream  # trailers only
        (reset,) = [e for e in client.events if type(e) is ngh2.StreamReset]
        assert reset.error_code == 0
        # What was on its way when the answer left: frames on a stream that is closed.
        frame = (5).to_bytes(3, "big") + b"\0\0" + stream.to_bytes(4, "big") + wire.frame(b"")
        client.sock.sendall(frame * 20)
        echo = client.request(b"/test/Echo")
        client.http2.send_data(echo, wire.frame(b"next"), end_stream=True)
        client.send()
        assert client.outcome(echo)[b"grpc-status"] == b"0"


# --- bounds ----------------------------------------------------------------------------------------------------------


def test_a_client_that_does_not_read_is_cut_off() -> None:
    with Grpc() as doors, client_of(doors) as client:
        stream = client.request(b"/test/Talk")
        client.http2.send_data(stream, wire.frame(b"hush"))
        client.http2.update_settings({ngh2.Setting.INITIAL_WINDOW_SIZE: 0})
        client.send()
        doors.wait_for_talks(1)
        wait_until(lambda: doors.told() == [b"hush"])
        piece = 100_000
        call = doors.service.talks[0].call

        def send() -> bool:
            call.send(bytes(piece))
            return call.over

        sent = 0
        while not doors.call(send):
            sent += piece
            assert sent <= streaming.QUEUE_BYTES
        assert sent > streaming.QUEUE_BYTES // 2
        client.outcome(stream)
        (reset,) = [e for e in client.events if type(e) is ngh2.StreamReset]
        assert reset.error_code == int(ngh2.ErrorCode.ENHANCE_YOUR_CALM)
        wait_until(doors.clean)
        assert doors.told() == [b"hush", "end"]


def test_a_client_that_never_takes_the_rest_is_cut_off() -> None:
    with Grpc(request_timeout_seconds=0.2) as doors, client_of(doors) as client:
        client.http2.update_settings({ngh2.Setting.INITIAL_WINDOW_SIZE: 10})
        stuck = client.request(b"/test/Talk")
        client.http2.send_data(stuck, wire.frame(b"large 1000") + wire.frame(b"finish"))
        client.send()
        doors.wait_for_talks(1)
        client.outcome(stuck)
        wait_until(doors.clean)


def test_a_slow_sender_is_cut_off() -> None:
    with Grpc(request_timeout_seconds=0.05) as doors, client_of(doors) as client:
        for path, part in ((b"/test/Talk", b"\0\0\0"), (b"/test/Watch", b""), (b"/test/Watch", wire.frame(b"whole"))):
            stream = client.request(path)
            client.http2.send_data(stream, part)
            client.send()
            assert client.outcome(stream)[b"grpc-status"] == b"%d" % Code.DEADLINE_EXCEEDED
        wait_until(doors.clean)


def silent_for(doors: Grpc, seconds: float) -> None:
    """Return when the sweep has looked at least once after so long."""
    start = doors.call(lambda: doors._loop.time())
    wait_until(lambda: doors.call(lambda: doors._loop.time()) > start + seconds)
    swept = doors.call(lambda: doors.connections._timer)
    wait_until(lambda: doors.call(lambda: doors.connections._timer) is not swept)


def test_silence_is_no_fault() -> None:
    with Grpc(request_timeout_seconds=0.05) as doors, talk(doors) as (questions, call):
        questions.say(b"one")
        assert next(call) == b"one!"
        silent_for(doors, 0.2)
        questions.say(b"two")
        assert next(call) == b"two!"


def test_silence_ends_a_dialogue_when_idle_time_is_bounded() -> None:
    with Grpc(idle_timeout_seconds=0.1) as doors:
        doors.service.lasting = True
        with channel_to(doors) as channel, talk(doors) as (questions, call):
            watch = channel.unary_stream("/test/Watch")(b"one", timeout=30)
            assert next(watch) == b"one!"
            questions.say(b"one")
            assert next(call) == b"one!"
            assert outcome(call) == ("UNAVAILABLE", "nothing was said for 0.1 s")
            # The client of Watch has nothing more to say, and its connection is not idle.
            silent_for(doors, 0.3)
            (left,) = [talk.call for talk in doors.service.talks if not talk.call.over]
            doors.call(lambda: left.send(b"still"))
            assert next(watch) == b"still"


def test_the_bytes_of_half_a_message_are_counted() -> None:
    with Grpc() as doors:
        with client_of(doors) as client:
            stream = client.request(b"/test/Talk")
            client.http2.send_data(stream, wire.frame(b"whole") + b"\0\0\0\0\xffhalf")
            client.send()
            wait_until(lambda: doors.connections.buffered_bytes == 9)
            whole = client.request(b"/test/Watch")
            client.http2.send_data(whole, wire.frame(b"whole"))
            client.send()
            wait_until(lambda: doors.connections.buffered_bytes == 14)
        wait_until(lambda: doors.connections.buffered_bytes == 0)


def test_there_is_no_room_for_more(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(connections_module, "BUFFER_BUDGET", 8)
    with Grpc() as doors, client_of(doors) as client:
        stream = client.request(b"/test/Talk")
        client.http2.send_data(stream, b"\0\0\0\0\xffhalf")
        client.send()
        assert client.outcome(stream)[b"grpc-status"] == b"%d" % Code.RESOURCE_EXHAUSTED
        wait_until(doors.clean)


def test_calls_of_one_connection_are_bounded() -> None:
    with Grpc(max_streams=2) as doors, client_of(doors) as client:
        doors.service.lasting = True
        client.read_until(lambda: client.http2.remote_settings[ngh2.Setting.MAX_CONCURRENT_STREAMS] == 2)
        streams = [client.request(b"/test/Watch") for _ in range(3)]
        for stream in streams:
            client.http2.send_data(stream, wire.frame(b"x"), end_stream=True)
        client.send()
        doors.wait_for_talks(2)
        doors.call(doors.service.talks[0].call.finish)
        client.outcome(streams[0])
        doors.wait_for_talks(3)


def test_answers_may_be_bounded() -> None:
    with Grpc(grpc=GrpcConfig(max_send_bytes=100)) as doors, talk(doors) as (questions, call):
        questions.say(b"large 100", b"large 101")
        assert next(call) == bytes(100)
        assert outcome(call) == ("RESOURCE_EXHAUSTED", "SERVER: Sent message larger than max (101 vs. 100)")


def test_a_handler_that_fails_at_the_end(caplog: pytest.LogCaptureFixture) -> None:
    class Clumsy(Talk):
        def on_end(self) -> None:
            super().on_end()
            raise KeyError("a bug at the end")

    with Grpc() as doors, channel_to(doors) as channel:

        def make(call: StreamingCall) -> Talk:
            return Clumsy(call, doors.service)

        doors.service.table[b"/test/Clumsy"] = StreamingMethod(make)
        assert list(channel.unary_stream("/test/Clumsy")(b"one", timeout=10)) == [b"one!"]
        assert "a bug at the end" in caplog.text
