"""Attacks on the REST port: HTTP/1.1 itself, URLs, JSON bodies, serialized messages as bodies."""

from __future__ import annotations

import base64
import gzip
import json
import re
import zlib
from random import Random

from tests.e2e.broken_bytes import HTTP1, OPEN
from tests.fuzz.attack import Conversation, Make, RawAttacker, cut, damaged, torn
from tests.fuzz.messages import Messages

MODELS = ("half_plus_two", "identity", "labels", "tflite_mixed")
VERBS = ("predict", "classify", "regress")
_STATUS = re.compile(rb"HTTP/1\.1 ([1-5][0-9][0-9]) [^\r\n]*\r\n")
_GOOD_BODIES = (
    b'{"instances":[1.0,2.0,5.0]}',
    b'{"signature_name":"float","inputs":{"x":[[1,2],[3,4]]}}',
    b'{"signature_name":"string","instances":[{"b64":"aGk="},"text"]}',
    b'{"examples":[{"x":[1.0,2.0]},{"x":3}],"context":{"c":"d"}}',
    b'{"inputs":{"serving_default_s":["a"],"serving_default_x":[[1.0,2.0]]}}',
)


def _head(method: bytes, path: bytes, fields: list[bytes], version: bytes = b"HTTP/1.1") -> bytes:
    return b"\r\n".join([b" ".join((method, path, version)), *fields, b"", b""])


def _path(chance: Random, verb: str = "") -> bytes:
    verb = verb or chance.choice(VERBS)
    version = chance.choice(("", "", "", "/versions/1", "/labels/stable", "/versions/99"))
    return f"/v1/models/{chance.choice(MODELS)}{version}:{verb}".encode()


def _fitting(chance: Random) -> tuple[bytes, bytes]:
    """A path, and a body that its model may well accept."""
    rows = chance.choice((0, 1, 2, 5, 300))
    numbers = [[chance.choice((1, 2.5, -3e5, 1e-30, 16777217)) for _ in range(2)] for _ in range(rows)]
    body: dict[str, object]
    match chance.randrange(5):
        case 0:
            path, body = "half_plus_two:predict", {"instances": [row[0] for row in numbers]}
        case 1:
            types = ("float", "double", "half", "bfloat16", "int8", "int64", "uint64", "bool", "string")
            signature = chance.choice(types)
            edges = (0, 1, -1, 127, 300, 2**31, 2**63, 2**64 - 1)
            values: object = [chance.choice(edges) for _ in range(rows)] if "int" in signature else numbers
            values = {"bool": [True, False], "string": ["a", {"b64": "AP8="}, "\ud83d\ude00"]}.get(signature, values)
            path, body = "identity:predict", {"signature_name": signature, "inputs": values}
        case 2:
            path, body = "labels:classify", {"examples": [{"x": row} for row in numbers], "context": {"y": 1.5}}
        case 3:
            examples = [{"x": row[0]} for row in numbers]
            path, body = "half_plus_two:regress", {"signature_name": "regress_x_to_y", "examples": examples}
        case _:
            inputs = {"serving_default_s": ["a"] * rows, "serving_default_x": numbers}
            path, body = "tflite_mixed:predict", {"inputs": inputs}
    return f"/v1/models/{path}".encode(), json.dumps(body).encode()


class Http1(RawAttacker):
    """Mutated requests, games with header fields and chunks, truncation, pipelining, slow pieces."""

    name = "http1"

    def conversation(self, chance: Random) -> Conversation:
        """One or several requests, more or less broken."""
        make: list[tuple[Make, int]] = [
            (_damaged_request, 5),
            (_odd_fields, 5),
            (_odd_chunks, 5),
            (lambda c: cut(c, _request(c)), 2),
            (_pipelined, 2),
            (lambda c: c.choice(HTTP1[:6] + HTTP1[8:-2]), 1),
            (lambda c: c.randbytes(c.randint(1, 3_000)), 1),
        ]
        chosen = chance.choices([item for item, _ in make], [weight for _, weight in make])[0]
        return torn(chance, chosen(chance))

    def check(self, answer: bytes) -> tuple[str, str]:
        """Nothing, or answers in HTTP/1.1."""
        if not answer:
            return "hung up", ""
        if not (found := _STATUS.match(answer)):
            return "not HTTP", "the answer is not HTTP/1.1"
        return found[1].decode(), ""


def _request(chance: Random) -> bytes:
    if chance.random() < 0.25:
        path = chance.choice((b"", b"/metadata"))
        return _head(b"GET", b"/v1/models/" + chance.choice(MODELS).encode() + path, [b"Host: x"])
    body = chance.choice(_GOOD_BODIES)
    fields = [b"Host: x", b"Content-Type: application/json"]
    if chance.random() < 0.2:
        body = gzip.compress(body, mtime=0)
        fields.append(b"Content-Encoding: gzip")
    if chance.random() < 0.3:
        return _head(b"POST", _path(chance), [*fields, b"Transfer-Encoding: chunked"]) + _chunks(chance, body)
    return _head(b"POST", _path(chance), [*fields, b"Content-Length: %d" % len(body)]) + body


def _chunks(chance: Random, body: bytes) -> bytes:
    pieces = []
    while body:
        size = chance.randint(1, len(body))
        pieces.append(b"%x\r\n%b\r\n" % (size, body[:size]))
        body = body[size:]
    return b"".join(pieces) + b"0\r\n\r\n"


def _damaged_request(chance: Random) -> bytes:
    return damaged(chance, _request(chance))


def _pipelined(chance: Random) -> bytes:
    requests = [_request(chance) for _ in range(chance.randint(2, 200))]
    if chance.random() < 0.5:
        at = chance.randrange(len(requests))
        requests[at] = damaged(chance, requests[at])
    return b"".join(requests)


def _odd_fields(chance: Random) -> bytes:
    body = chance.choice(_GOOD_BODIES)
    length = b"%d" % len(body)
    lengths = (length, b"+" + length, b"0" + length, b"0x1b", b"", b"-1", b"1e3", length + b", " + length, b"9" * 20)
    odd = [
        *(b"Content-Length: " + value for value in (*lengths, b" 5 5", b"\t" + length)),
        *(b"Transfer-Encoding: " + value for value in (b"chunked", b"Chunked", b"gzip, chunked", b"chunked, chunked")),
        *(b"Transfer-Encoding: " + value for value in (b"\x0bchunked", b"identity", b"")),
        *(b"Content-Encoding: " + value for value in (b"gzip", b"deflate", b"br", b"gzip, gzip", b"identity", b"")),
        *(b"Accept-Encoding: " + value for value in (b"gzip", b"gzip;q=0", b"*;q=9", b";;,,", b"identity;q=0, *;q=0")),
        *(b"Connection: " + value for value in (b"close", b"keep-alive", b"upgrade", b"close, keep-alive", b",,")),
        *(b"Expect: " + value for value in (b"100-continue", b"100-Continue, x", b"", b"200")),
        *(b"Content-Type: " + value for value in (b"application/x-protobuf", b"text/plain; charset=\xff", b";")),
        *(b"Origin: " + value for value in (b"http://a", b"null", b"\xff")),
        b"Content-Type: " + b"application/json;" * 50,
        b"Connection: Host",
        b"Upgrade: h2c\r\nHTTP2-Settings: AAMAAABkAAQAAP__",
        b" folded: field",
        b"A:" + b" " * chance.randint(1, 5_000) + b"b",
        b"A: b\r\n c: folded",
        b": no name",
        b"N\x00L: 1",
        b"name with space: 1",
        b"A: \x00\x01\x7f",
        b"Host: y",
        b"\xff\xfe: \xff",
        b"a" * chance.randint(1, 70_000) + b": 1",
        b"\r\n".join([b"x: y"] * chance.randint(1, 400)),
    ]  # fmt: skip
    fields = [b"Host: x", b"Content-Length: " + length]
    for _ in range(chance.randint(1, 4)):
        fields.insert(chance.randrange(len(fields) + 1), chance.choice(odd))
    if chance.random() < 0.3:
        fields.remove(b"Content-Length: " + length)
    method = chance.choice(
        (b"POST", b"POST", b"GET", b"OPTIONS", b"PUT", b"HEAD", b"DELETE", b"PRI", b"post", b"P\xffST")
    )
    version = chance.choice(
        (b"HTTP/1.1", b"HTTP/1.1", b"HTTP/1.1", b"HTTP/1.0", b"HTTP/2.0", b"HTTP/0.9", b"ICY/1.1", b"")
    )
    return _head(method, _path(chance), fields, version) + body


def _odd_chunks(chance: Random) -> bytes:
    body = chance.choice(_GOOD_BODIES)
    good = _chunks(chance, body)
    odd = [
        good.replace(b"\r\n", b"\n"),
        good.replace(b"\r\n", b";a=b\r\n", 1),
        good.replace(b"\r\n", b";" + b"e" * chance.randint(1, 9_000) + b"\r\n", 1),
        b"0" * chance.randint(1, 20) + good,
        good[:-2] + b"Trailer: x\r\n" * chance.randint(1, 300) + b"\r\n",
        good[:-2] + b"Content-Length: 5\r\n\r\n",
        good[:-5]
        + chance.choice((b"ffffffffffffffff\r\n", b"7fffffff\r\n", b"-1\r\n", b"g\r\n", b"\r\n", b" 1\r\nx\r\n")),
        b"".join(b"1\r\n%c\r\n" % byte for byte in body * chance.randint(1, 50)) + b"0\r\n\r\n",
        damaged(chance, good),
        cut(chance, good),
    ]
    return _head(b"POST", _path(chance), [b"Host: x", b"Transfer-Encoding: chunked"]) + chance.choice(odd)


class Urls(RawAttacker):
    """Paths and query strings, with good requests around them."""

    name = "urls"

    def conversation(self, chance: Random) -> Conversation:
        """A GET or a POST with an odd URL."""
        parts = ["/", "v1", "models", "half_plus_two", "versions", "labels", "1", "stable", ":", "predict", "metadata"]
        parts += ["%2e%2e", "..", "%", "%00", "%ff", "%c3%a4", "ä", "//", "?", "#", "=", "&", "\\", "~", "*", "@", ";"]
        parts += [
            "monitoring",
            "prometheus",
            "metrics",
            "healthz",
            "readyz",
            "99999999999999999999",
            "-1",
            "0x1",
            "%2f",
        ]
        parts += ["a" * chance.randint(1, 2_000), "%41" * chance.randint(1, 300), "openapi.json", "docs", "version"]
        path = "/v1/models/" if chance.random() < 0.6 else "/"
        path += "".join(chance.choice(parts) + chance.choice(("", "/", ":")) for _ in range(chance.randint(0, 8)))
        url = damaged(chance, path.encode()) if chance.random() < 0.3 else path.encode()
        if chance.random() < 0.1:
            url = b"http://elsewhere" + url
        method = chance.choice((b"GET", b"GET", b"POST", b"OPTIONS", b"HEAD"))
        body = chance.choice(_GOOD_BODIES) if method == b"POST" else b""
        fields = [b"Host: x", b"Connection: close"] + ([b"Content-Length: %d" % len(body)] if body else [])
        return torn(chance, _head(method, url, fields) + body, read=5, half=2)

    check = Http1.check


class Json(RawAttacker):
    """Bodies of inference requests: by a grammar, and damaged."""

    name = "json"

    def conversation(self, chance: Random) -> Conversation:
        """One POST."""
        path, body = _fitting(chance)
        if chance.random() < 0.5:
            body = document(chance)
        if chance.random() < 0.35:
            body = damaged(chance, body)
        fields = [b"Host: x", b"Connection: close"]
        if chance.random() < 0.1:
            fields.append(b"Accept-Encoding: gzip")
        if chance.random() < 0.1:
            body = zipped(chance, body)
            fields.append(b"Content-Encoding: gzip")
        data = _head(b"POST", path, [*fields, b"Content-Length: %d" % len(body)]) + body
        return torn(chance, data, read=9, half=0)

    def check(self, answer: bytes) -> tuple[str, str]:
        """One whole answer with a JSON object."""
        found = _STATUS.match(answer)
        if not found:
            return "not HTTP", "no answer in HTTP/1.1"
        head, _, body = answer.partition(b"\r\n\r\n")
        if b"content-encoding: gzip" in head.lower():
            body = gzip.decompress(body)
        try:
            kind = next(iter(json.loads(body)), "nothing")
        except (ValueError, TypeError) as error:
            return "not JSON", f"the body is not JSON: {error}"
        return f"{found[1].decode()} {kind}", ""


class Binary(RawAttacker):
    """Serialized requests as bodies."""

    name = "binary"

    def conversation(self, chance: Random) -> Conversation:
        """One POST of a message that fits the URL, mostly."""
        writer = Messages(chance.getrandbits(64))
        verb = chance.choice(VERBS)
        body = writer.predict() if verb == "predict" else writer.examples_request()
        if chance.random() < 0.3:
            body = writer.damaged(body)
        types = (b"application/x-protobuf",) * 6 + (
            b"application/x-protobuf; a=b",
            b"application/octet-stream",
            b"",
            b"x",
        )
        accept = chance.choice((b"application/x-protobuf", b"application/json", b"*/*", b";q", b""))
        fields = [b"Host: x", b"Connection: close", b"Content-Type: " + chance.choice(types), b"Accept: " + accept]
        path = f"/v1/models/{writer.model}:{verb}".encode() if chance.random() < 0.8 else _path(chance, verb)
        data = _head(b"POST", path, [*fields, b"Content-Length: %d" % len(body)]) + body
        return torn(chance, data, read=9, half=0)

    check = Http1.check


def zipped(chance: Random, body: bytes) -> bytes:
    """`body` in gzip's form, damaged, cut, repeated, or very much of it."""
    data = gzip.compress(body, mtime=0)
    how = chance.randrange(6)
    if how == 0:
        return damaged(chance, data)
    if how == 1:
        return cut(chance, data)
    if how == 2:
        return data + data
    if how == 3:
        return gzip.compress(b" " * chance.randint(1 << 16, 1 << 22) + body, mtime=0)
    if how == 4:
        return zlib.compress(body)
    return data


def document(chance: Random) -> bytes:
    """The text of a body, legal or nearly so."""
    keys = ["instances", "inputs", "examples", "context", "signature_name"]
    members: list[bytes] = []
    main = chance.choice(keys[:3])
    members.append(_string(main) + b":" + _value(chance, chance.randint(1, 5)))
    for _ in range(chance.choice((0, 0, 1, 1, 2))):
        key = chance.choice([*keys, "other", "", "inst\\u0061nces", "\ud800"])
        value = _value(chance, 3)
        if key == "signature_name" and chance.random() < 0.8:
            value = _string(
                chance.choice(["serving_default", "float", "int8", "string", "bool", "half", "classify_x_to_y", ""])
            )
        members.insert(chance.randrange(len(members) + 1), _string(key) + b":" + value)
    space = chance.choice((b"", b"", b" ", b"\n\t", b"\r\n "))
    text = b"{" + (b"," + space).join(members) + b"}"
    if chance.random() < 0.03:
        depth = chance.randint(100, 3_000)
        text = b'{"instances":' + b"[" * depth + b"1" + b"]" * depth + b"}"
    return text


_NUMBERS = "0 1 -1 2.5 -0 -0.0 1e3 1E-3 1e308 1e309 -1e400 1e-400 3.4028236e38 16777217 2147483648 9223372036854775808 "
_NUMBERS += (
    "18446744073709551616 -9223372036854775809 00 01 .5 5. +1 1e 0x10 1_0 NaN -NaN Infinity -Infinity Inf nan 1e+ - "
)
_NUMBERS += "0." + "3" * 400 + " " + "9" * 400
_LEAVES = [number.encode() for number in _NUMBERS.split()]
_LEAVES += [
    b"true",
    b"false",
    b"null",
    b'"a"',
    b'""',
    b'"\\u0000"',
    b'"\\ud83d\\ude00"',
    b'"\\ud800"',
    b'"\xff"',
    b'"\x01"',
]
_LEAVES += [
    b'{"b64":"aGk="}',
    b'{"b64":"!"}',
    b'{"b64":""}',
    b'{"b64":1}',
    b'{"b64":"aGk=","x":1}',
    b"{}",
    b"[]",
    b"tru",
    b'"',
]


def _string(text: str) -> bytes:
    return b'"' + text.encode(errors="surrogatepass") + b'"'


def _value(chance: Random, depth: int) -> bytes:
    how = chance.random()
    if depth == 0 or how < 0.15:
        return chance.choice(_LEAVES)
    if how < 0.35:  # an array of one kind of number, perhaps long
        leaf = chance.choice(_LEAVES) if chance.random() < 0.3 else b"%g" % chance.uniform(-1e6, 1e6)
        return b"[" + b",".join([leaf] * chance.choice((1, 2, 3, 20, 1_000))) + b"]"
    if how < 0.75:
        item = _value(chance, depth - 1)
        items = [item if chance.random() < 0.85 else _value(chance, depth - 1) for _ in range(chance.randint(0, 5))]
        return b"[" + b",".join(items) + b"]"
    names = ["x", "y", "b64", "inputs", "serving_default_s", "serving_default_x", "x", "a" * chance.randint(0, 50)]
    names.append(base64.b64encode(chance.randbytes(6)).decode())
    members = (_string(chance.choice(names)) + b":" + _value(chance, depth - 1) for _ in range(chance.randint(0, 4)))
    return b"{" + b",".join(members) + b"}"


class Mixed(RawAttacker):
    """The wrong protocol for the port."""

    name = "wrong port"

    def port(self) -> int:
        """HTTP/1.1 to the port of gRPC, and HTTP/2 the other way round."""
        return self._port

    def conversation(self, chance: Random) -> Conversation:
        """A request, a TLS greeting, or noise."""
        to_grpc = chance.random() < 0.5
        self._port = self.target.grpc_port if to_grpc else self.target.rest_port
        hello = bytes.fromhex("16030100c8010000c40303") + chance.randbytes(195)
        return torn(chance, chance.choice((_request(chance) if to_grpc else OPEN, hello, chance.randbytes(200))))
