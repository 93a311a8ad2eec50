"""Our HTTP/2 server beside that of `h2`, frame by frame: legal and illegal frames, whole and damaged.

Both get the same bytes. After each frame they must agree on whether it is fine, resets a stream, or ends the
connection, and on what they have understood. `DIFFERENCES` are those in which RFC 9113 leaves room, or `h2` is wrong; a
conversation ends at the first of them, since the two no longer are in the same state.
"""

from __future__ import annotations

import struct
from collections import Counter
from collections.abc import Callable
from dataclasses import dataclass, field
from random import Random

import h2.config
import h2.connection
import h2.events
import h2.exceptions
import h2.settings
import hpack
import pytest
from hyperframe.frame import Frame
from hypothesis import given, settings
from hypothesis import strategies as st

from frontend.http2 import ConnectionBroken, Headers, Http2

PREFACE = b"PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n"
DATA, HEADERS, PRIORITY, RST_STREAM, SETTINGS, PUSH_PROMISE, PING, GOAWAY, WINDOW_UPDATE, CONTINUATION = range(10)
END_STREAM, ACK, END_HEADERS, PADDED, WITH_PRIORITY = 0x1, 0x1, 0x4, 0x8, 0x20
MAX_STREAMS = 5
STREAM_WINDOW = 4 << 20

REQUEST = [(":method", "POST"), (":scheme", "http"), (":authority", "localhost"), (":path", "/service/Method")]
REST = [("content-type", "application/grpc"), ("te", "trailers")]


def raw(kind: int, flags: int, stream: int, payload: bytes = b"") -> bytes:
    return len(payload).to_bytes(3, "big") + bytes((kind, flags)) + stream.to_bytes(4, "big") + payload


@dataclass
class Understood:
    """What a server has made of the bytes so far."""

    requests: dict[int, dict[bytes, bytes]] = field(default_factory=dict)
    bodies: Counter[int] = field(default_factory=Counter)
    ended: set[int] = field(default_factory=set)


class Ours:
    def __init__(self) -> None:
        self.understood = Understood()
        self.server = Http2(self, max_streams=MAX_STREAMS, max_header_bytes=16_384, max_header_count=64)

    def on_request(self, stream_id: int, headers: Headers, ended: bool) -> None:
        self.understood.requests[stream_id] = dict(headers)
        if ended:
            self.understood.ended.add(stream_id)

    def on_data(self, stream_id: int, data: bytes, ended: bool) -> None:
        self.understood.bodies[stream_id] += len(data)
        if ended:
            self.understood.ended.add(stream_id)

    def on_closed(self, stream_id: int) -> None:
        return

    def take(self, data: bytes) -> str:
        try:
            self.server.receive(data)
        except ConnectionBroken:
            return "broken"
        return verdict(b"".join(self.server.pending_bytes()), over=self.server.is_over)


class Theirs:
    def __init__(self) -> None:
        self.understood = Understood()
        config = h2.config.H2Configuration(client_side=False, header_encoding=None)
        self.server = h2.connection.H2Connection(config)
        codes = h2.settings.SettingCodes
        self.server.local_settings = h2.settings.Settings(
            client=False,
            initial_values={
                codes.MAX_CONCURRENT_STREAMS: MAX_STREAMS,
                codes.INITIAL_WINDOW_SIZE: STREAM_WINDOW,
                codes.MAX_FRAME_SIZE: 1 << 20,
                codes.MAX_HEADER_LIST_SIZE: 16_384,
            },
        )
        self.server.initiate_connection()
        self.server.increment_flow_control_window((16 << 20) - 65_535)

    def take(self, data: bytes) -> str:
        try:
            events = self.server.receive_data(data)
        except (h2.exceptions.ProtocolError, hpack.HPACKError):
            return "broken"
        for event in events:
            self._note(event)
        return verdict(self.server.data_to_send(), over=False)

    def _note(self, event: h2.events.Event) -> None:
        understood = self.understood
        if isinstance(event, h2.events.RequestReceived):
            understood.requests[event.stream_id] = dict(event.headers)
        elif isinstance(event, h2.events.DataReceived):
            understood.bodies[event.stream_id] += len(event.data)
            self.server.acknowledge_received_data(event.flow_controlled_length, event.stream_id)
        elif isinstance(event, h2.events.StreamEnded):
            understood.ended.add(event.stream_id)


def verdict(sent: bytes, *, over: bool) -> str:
    """What a server's frames say about the frame that it was given."""
    kinds: list[tuple[int, bytes]] = []
    while sent:
        frame, length = Frame.parse_frame_header(memoryview(sent[:9]))
        kinds.append((frame.type, sent[9 : 9 + length]))
        sent = sent[9 + length :]
    if over or any(kind == GOAWAY and struct.unpack(">I", body[4:8])[0] for kind, body in kinds):
        return "broken"
    return "reset" if any(kind == RST_STREAM for kind, _ in kinds) else "fine"


# --- frames --------------------------------------------------------------------------------------------------------


class Client:
    """Makes frames; knows which streams there may be, and not what is legal on them."""

    def __init__(self, rng: Random) -> None:
        self.rng = rng
        self.next_stream = 1
        self.encoder = hpack.Encoder()

    def stream(self) -> int:
        """One that was opened, most of the time."""
        opened = range(1, self.next_stream, 2)
        if not opened:
            return 1
        return self.rng.choice(opened)

    def block(self, fields: list[tuple[str, str]]) -> bytes:
        # Nothing is indexed, so a block that one side has skipped does not change how it reads the next.
        return self.encoder.encode([hpack.NeverIndexedHeaderTuple(*one) for one in fields])

    def open(self, fields: list[tuple[str, str]] | None = None, flags: int | None = None) -> bytes:
        stream = self.next_stream
        self.next_stream += 2
        flags = END_HEADERS | self.rng.choice((0, END_STREAM)) if flags is None else flags
        return raw(HEADERS, flags, stream, self.block(REQUEST + REST if fields is None else fields))


Action = Callable[[Client], bytes]


def _headers_in_parts(client: Client) -> bytes:
    stream = client.next_stream
    whole = client.open(flags=0)
    block, at = whole[9:], client.rng.randrange(1, 10)
    return raw(HEADERS, END_STREAM, stream, block[:at]) + raw(CONTINUATION, END_HEADERS, stream, block[at:])


def _padded(client: Client) -> bytes:
    size = client.rng.choice((0, 1, 50, 255))
    body = bytes((size,)) + client.rng.randbytes(client.rng.randrange(20)) + bytes(size)
    return raw(DATA, PADDED, client.stream(), body)


def _with_priority(client: Client) -> bytes:
    whole = client.open(flags=0)
    stream = client.next_stream - 2
    return raw(HEADERS, END_HEADERS | WITH_PRIORITY, stream, struct.pack(">IB", 0, 15) + whole[9:])


def _setting(number: int, value: int) -> Action:
    return lambda client: raw(SETTINGS, 0, 0, struct.pack(">HI", number, value))


def _malformed(fields: list[tuple[str, str]]) -> Action:
    return lambda client: client.open(fields)


ACTIONS: dict[str, Action] = {
    "request": lambda c: c.open(),
    "request in parts": _headers_in_parts,
    "request with priority": _with_priority,
    "request with a skipped number": lambda c: (setattr(c, "next_stream", c.next_stream + 4), c.open())[1],
    "data": lambda c: raw(DATA, 0, c.stream(), c.rng.randbytes(c.rng.randrange(60))),
    "last data": lambda c: raw(DATA, END_STREAM, c.stream(), b"last"),
    "padded data": _padded,
    "trailers": lambda c: raw(HEADERS, END_HEADERS | END_STREAM, c.stream(), c.block([("x-end", "1")])),
    "cancel": lambda c: raw(RST_STREAM, 0, c.stream(), struct.pack(">I", 8)),
    "window of a stream": lambda c: raw(WINDOW_UPDATE, 0, c.stream(), struct.pack(">I", c.rng.randrange(1, 1000))),
    "window of the connection": lambda c: raw(WINDOW_UPDATE, 0, 0, struct.pack(">I", c.rng.randrange(1, 1000))),
    "ping": lambda c: raw(PING, 0, 0, b"12345678"),
    "answer to no ping": lambda c: raw(PING, ACK, 0, b"12345678"),
    "settings": lambda c: raw(SETTINGS, 0, 0, struct.pack(">HIHI", 3, 100, 5, 20_000)),
    "unknown setting": _setting(0x99, 7),
    "smaller windows": _setting(4, 100),
    "priority": lambda c: raw(PRIORITY, 0, c.stream(), struct.pack(">IB", 0, 10)),
    "unknown frame": lambda c: raw(0xEE, 0xFF, c.stream(), b"whatever"),
    # Illegal.
    "even stream": lambda c: raw(HEADERS, END_HEADERS, 2, c.block(REQUEST)),
    "request on stream 0": lambda c: raw(HEADERS, END_HEADERS, 0, c.block(REQUEST)),
    "data on stream 0": lambda c: raw(DATA, 0, 0, b"x"),
    "data on an idle stream": lambda c: raw(DATA, 0, c.next_stream + 10, b"x"),
    "cancel of an idle stream": lambda c: raw(RST_STREAM, 0, c.next_stream + 10, struct.pack(">I", 8)),
    "window of an idle stream": lambda c: raw(WINDOW_UPDATE, 0, c.next_stream + 10, struct.pack(">I", 5)),
    "cancel of stream 0": lambda c: raw(RST_STREAM, 0, 0, struct.pack(">I", 8)),
    "cancel of 3 bytes": lambda c: raw(RST_STREAM, 0, c.stream(), b"\0\0\0"),
    "window by nothing": lambda c: raw(WINDOW_UPDATE, 0, 0, bytes(4)),
    "window of a stream by nothing": lambda c: raw(WINDOW_UPDATE, 0, c.stream(), bytes(4)),
    "window too large": lambda c: raw(WINDOW_UPDATE, 0, 0, struct.pack(">I", 0x7FFFFFFF)),
    "window of a stream too large": lambda c: raw(WINDOW_UPDATE, 0, c.stream(), struct.pack(">I", 0x7FFFFFFF)),
    "window of 3 bytes": lambda c: raw(WINDOW_UPDATE, 0, 0, b"\0\0\1"),
    "ping of 7 bytes": lambda c: raw(PING, 0, 0, b"1234567"),
    "ping on a stream": lambda c: raw(PING, 0, c.stream(), b"12345678"),
    "settings of 5 bytes": lambda c: raw(SETTINGS, 0, 0, b"12345"),
    "settings on a stream": lambda c: raw(SETTINGS, 0, c.stream(), struct.pack(">HI", 3, 100)),
    "settings acknowledged with content": lambda c: raw(SETTINGS, ACK, 0, struct.pack(">HI", 3, 100)),
    "push that is neither": _setting(2, 2),
    "windows too large": _setting(4, 1 << 31),
    "frames too small": _setting(5, 100),
    "frames too large": _setting(5, 1 << 24),
    "continuation of nothing": lambda c: raw(CONTINUATION, END_HEADERS, c.stream(), c.block(REQUEST)),
    "something within headers": lambda c: c.open(flags=0) + raw(PING, 0, 0, b"12345678"),
    "continuation of another": lambda c: c.open(flags=0) + raw(CONTINUATION, END_HEADERS, 1001, b""),
    "pushed by a client": lambda c: raw(PUSH_PROMISE, END_HEADERS, c.stream(), struct.pack(">I", 2) + c.block(REQUEST)),
    "padding longer than all": lambda c: raw(DATA, PADDED, c.stream(), b"\x20abc"),
    "frame larger than allowed": lambda c: raw(DATA, 0, c.stream(), bytes((1 << 20) + 1)),
    "broken compression": lambda c: raw(HEADERS, END_HEADERS, c.next_stream, b"\xff\xff\xff\xff\xff\xff\xff"),
    "priority of 4 bytes": lambda c: raw(PRIORITY, 0, c.stream(), bytes(4)),
    # Requests that are no requests (RFC 9113, 8.1.1 and 8.2, 8.3).
    "no path": _malformed(REQUEST[:3] + REST),
    "no method": _malformed(REQUEST[1:] + REST),
    "empty path": _malformed([*REQUEST[:3], (":path", ""), *REST]),
    "method twice": _malformed([REQUEST[0], *REQUEST, *REST]),
    "unknown pseudo-header": _malformed([*REQUEST, (":what", "x"), *REST]),
    "pseudo-header of an answer": _malformed([*REQUEST, (":status", "200"), *REST]),
    "pseudo-header too late": _malformed([*REQUEST[:3], *REST, REQUEST[3]]),
    "upper case": _malformed([*REQUEST, ("X-Upper", "1")]),
    "connection header": _malformed([*REQUEST, ("connection", "close")]),
    "other te": _malformed([*REQUEST, ("te", "gzip")]),
}


# --- conversations -------------------------------------------------------------------------------------------------


@dataclass(frozen=True)
class Difference:
    """Where the two may differ.

    Attributes:
        kinds: of the frame.
        states: of its stream; see `state_of`.
        ours, theirs: what each says.
        why: it is in order.
    """

    kinds: tuple[int, ...]
    states: tuple[str, ...]
    ours: tuple[str, ...]
    theirs: tuple[str, ...]
    why: str
    unfinished: bool = False


ANY = ("zero", "even", "idle", "passed", "open", "ended", "closed")
DIFFERENCES = (
    Difference((DATA, HEADERS), ("ended",), ("broken",), ("reset",), "5.4.2: a stream error may end the connection"),
    Difference(
        (DATA, HEADERS, CONTINUATION, WINDOW_UPDATE),
        ("closed", "passed"),
        ("fine",),
        ("reset", "broken"),
        "nghttp2 ignores what comes for a stream that is over; one that was passed over counts as such",
    ),
    Difference(
        (HEADERS, CONTINUATION), ("idle", "open"), ("reset",), ("broken",), "8.1.1: malformed is a stream error"
    ),
    Difference((CONTINUATION,), ("closed",), ("broken",), ("reset",), "6.10: must end the connection"),
    Difference((RST_STREAM,), ("idle", "even"), ("broken",), ("fine",), "6.4: must end the connection, and h2 doesn't"),
    Difference(
        (WINDOW_UPDATE,), ("open", "ended"), ("broken",), ("reset",), "6.9.1 asks for a stream error; 5.4.2 as above"
    ),
    Difference((PRIORITY,), ANY, ("fine",), ("broken",), "5.3.2 deprecates them, and nghttp2 doesn't look at them"),
    Difference((0x10,), ANY, ("broken",), ("fine",), "RFC 9218: PRIORITY_UPDATE, which h2 does not know"),
    Difference((0xA,), ANY, ("fine",), ("broken",), "RFC 7838: ALTSVC, which a server has no use for"),
    Difference(
        (HEADERS, PUSH_PROMISE),
        ANY,
        ("broken", "reset"),
        ("fine",),
        "h2 judges when the block is complete",
        unfinished=True,
    ),
)


@dataclass
class Conversation:
    """Both servers, and what the client has done to streams."""

    ours: Ours = field(default_factory=Ours)
    theirs: Theirs = field(default_factory=Theirs)
    highest: int = 0
    over: set[int] = field(default_factory=set)
    differed: str = ""

    def state_of(self, stream: int) -> str:
        """`idle` above all used so far, `passed` below without having been used; `ended` by the client."""
        if stream % 2 == 0:
            return "even" if stream else "zero"
        if stream in self.over:
            return "closed"
        understood = self.ours.understood
        if stream in understood.requests:
            return "ended" if stream in understood.ended else "open"
        return "passed" if stream < self.highest else "idle"

    def feed(self, frame: bytes, history: list[str]) -> bool:
        """Whether to go on after this frame."""
        kind, flags, stream = frame[3], frame[4], int.from_bytes(frame[5:9], "big") & 0x7FFFFFFF
        state = self.state_of(stream)
        ours, theirs = self.ours.take(frame), self.theirs.take(frame)
        if ours != theirs:
            unfinished = not flags & END_HEADERS
            for known in DIFFERENCES:
                fits = kind in known.kinds and state in known.states and (unfinished or not known.unfinished)
                if fits and ours in known.ours and theirs in known.theirs:
                    self.differed = known.why
                    return False
            raise AssertionError(f"{history}: frame {kind} with flags {flags} on {state} {stream}: {ours}, {theirs}")
        if ours == "broken":
            return False
        if kind == HEADERS and stream % 2:
            self.highest = max(self.highest, stream)
        if kind == RST_STREAM or ours == "reset":
            self.over.add(stream)
        assert self.ours.understood == self.theirs.understood, history
        return kind != GOAWAY  # after which h2 takes nothing, although the client may open more streams (6.8)


def frames_of(data: bytes) -> list[bytes]:
    frames = []
    while data:
        end = 9 + int.from_bytes(data[:3], "big")
        frames.append(data[:end])
        data = data[end:]
    return frames


def damaged(rng: Random, frame: bytes) -> bytes:
    """The frame with one bit of its type, flags or stream changed; its length stays, so the next one is found."""
    changed = bytearray(frame)
    changed[rng.randrange(3, 9)] ^= 1 << rng.randrange(8)
    return bytes(changed)


def converse(seed: int, names: list[str], damage: float = 0.0) -> Conversation:
    """Feed both servers until they end, or differ where they may."""
    rng = Random(seed)
    client, talk = Client(rng), Conversation()
    for start in (PREFACE + raw(SETTINGS, 0, 0), raw(SETTINGS, ACK, 0)):
        assert talk.ours.take(start) == talk.theirs.take(start) == "fine"
    history: list[str] = []
    for name in names:
        for frame in frames_of(ACTIONS[name](client)):
            hurt = rng.random() < damage
            history.append(f"{name}, damaged" if hurt else name)
            if not talk.feed(damaged(rng, frame) if hurt else frame, history):
                return talk
    return talk


LEGAL = [name for name in ACTIONS][: list(ACTIONS).index("even stream")]
names = st.lists(st.one_of(*[st.sampled_from(LEGAL)] * 4, st.sampled_from(list(ACTIONS))), min_size=1, max_size=14)


@settings(max_examples=250, deadline=None)
@given(st.integers(0, 2**32), names)
def test_both_understand_the_same(seed: int, names: list[str]) -> None:
    converse(seed, names)


@settings(max_examples=250, deadline=None)
@given(st.integers(0, 2**32), names)
def test_both_understand_the_same_of_damaged_frames(seed: int, names: list[str]) -> None:
    converse(seed, names, damage=0.2)


@pytest.mark.parametrize("name", ACTIONS)
def test_every_frame_after_a_request(name: str) -> None:
    for seed in range(6):
        converse(seed, ["request", name, "request", "last data"])


def outcome(*names: str) -> tuple[str, str]:
    """What each says of the last of these frames, on its own."""
    client, ours, theirs = Client(Random(2)), Ours(), Theirs()
    said = ("", "")
    for data in (PREFACE + raw(SETTINGS, 0, 0), raw(SETTINGS, ACK, 0), *(ACTIONS[name](client) for name in names)):
        said = ours.take(data), theirs.take(data)
    return said


@pytest.mark.parametrize(
    "name",
    [
        *("data on stream 0", "data on an idle stream", "window by nothing", "window too large", "window of 3 bytes"),
        *("ping of 7 bytes", "ping on a stream", "settings of 5 bytes", "settings on a stream", "windows too large"),
        *("settings acknowledged with content", "push that is neither", "frames too small", "frames too large"),
        *("continuation of nothing", "something within headers", "continuation of another", "even stream"),
        *("pushed by a client", "padding longer than all", "frame larger than allowed", "broken compression"),
        *("cancel of stream 0", "request on stream 0"),
    ],
)
def test_what_ends_a_connection(name: str) -> None:
    assert outcome("request", name) == ("broken", "broken")


@pytest.mark.parametrize("name", ["no path", "no method", "empty path", "method twice", "unknown pseudo-header"])
def test_a_malformed_request_costs_its_stream_only(name: str) -> None:
    assert outcome("request", name) == ("reset", "broken")


@pytest.mark.parametrize("name", LEGAL)
def test_what_is_legal_is_fine(name: str) -> None:
    # Seed 2 leaves the stream of the request open.
    assert outcome("request", name) == ("fine", "fine")


def test_each_difference_is_met() -> None:
    met = set()
    rng = Random(0)
    for seed in range(600):
        chosen = [rng.choice(LEGAL if rng.random() < 0.6 else list(ACTIONS)) for _ in range(rng.randrange(1, 6))]
        met.add(converse(seed, ["request", *chosen], damage=0.2 if seed % 2 else 0.0).differed)
    # Some are rare: they take a bit that turns one frame into just that other one.
    rare = {known.why for known in DIFFERENCES if known.kinds in ((PRIORITY,), (CONTINUATION,), (0xA,), (0x10,))}
    assert {known.why for known in DIFFERENCES} - rare <= met


@pytest.mark.parametrize(
    "frame",
    [
        raw(PRIORITY, 0, 0, bytes(5)),
        raw(0x10, 0, 1, bytes(4)),
        raw(0xA, 0, 1, b"\x7f\xff\xff\xff"),
        raw(CONTINUATION, END_HEADERS, 1, b""),
    ],
)
def test_rare_differences(frame: bytes) -> None:
    talk = Conversation()
    client = Client(Random(2))
    for start in (PREFACE + raw(SETTINGS, 0, 0), raw(SETTINGS, ACK, 0)):
        assert talk.ours.take(start) == talk.theirs.take(start) == "fine"
    whole = client.open(flags=END_HEADERS | END_STREAM)
    assert talk.feed(whole, []) and talk.feed(raw(RST_STREAM, 0, 1, struct.pack(">I", 8)), [])
    assert talk.feed(client.open(), [])  # h2 forgets a stream that is over when the next one comes
    assert not talk.feed(frame, []) and talk.differed
