"""Header fields that choose between JSON and serialized messages, and what a URL and a message say together."""

from __future__ import annotations

from itertools import product

import pytest
from hypothesis import given
from hypothesis import strategies as st

from frontend.rest.binary import target_of_both
from frontend.rest.media import PLAIN, Form, form
from frontend.rest.urls import Kind, Route
from protos.errors import Code, ServingError
from protos.tensor_view import Target


@pytest.mark.parametrize(
    ("field", "protobuf"),
    [
        ("", False),
        ("application/json", False),
        ("application/x-www-form-urlencoded", False),
        ("application/x-protobuf", True),
        ("application/protobuf", True),
        ("Application/X-Protobuf ; messageType=x; charset=utf-8", True),
        ("application/x-protobuf-json", False),
        ("text/plain; a=application/x-protobuf", False),
    ],
)
def test_requests(field: str, protobuf: bool) -> None:
    fields = {b"content-type": field.encode()} if field else {}
    assert form(fields) == Form(protobuf, protobuf)


SAME = "as the request"


@pytest.mark.parametrize(
    ("accept", "answer"),
    [
        ("", SAME),
        ("*/*", SAME),
        ("text/html", SAME),
        ("application/*", SAME),
        ("application/json", False),
        ("APPLICATION/JSON", False),
        ("application/json, */*;q=0.5", False),
        ("application/json, application/x-protobuf", SAME),
        ("application/x-protobuf", True),
        ("application/protobuf; q=0.1", True),
        ("application/x-protobuf, application/json;q=0.9", True),
        ("application/x-protobuf;q=0.8, application/json;q=0.9", False),
        ("application/x-protobuf;q=0, */*", False),
        ("application/json;q=0, */*;q=0.1", True),
        ("application/json;q=x, application/x-protobuf;q=0.1", True),
        ("application/json;q=2, application/x-protobuf;q=nan", SAME),
        ("text/html, application/json;q=0.3, application/*;q=0.2", False),
    ],
)
def test_answers(accept: str, answer: bool | str) -> None:
    for content_type, request in (("application/json", False), ("application/x-protobuf", True)):
        fields = {b"content-type": content_type.encode(), b"accept": accept.encode()}
        assert form(fields) == Form(request, request if answer is SAME else answer)


def test_an_endless_field() -> None:
    assert form({b"accept": b"application/x-protobuf" + b" " * 2000}) == Form(False, False)


def test_plain_fields_mean_json() -> None:
    for content_type, accept in product(PLAIN, PLAIN):
        fields = {b"content-type": content_type, b"accept": accept}
        assert form({name: value for name, value in fields.items() if value is not None}) == Form(False, False)


@given(st.text("application/*-xprotobufjson;q=.01, ", max_size=60) | st.text(max_size=30))
def test_json_is_the_answer_to_json_unless_protobuf_is_named_or_json_refused(accept: str) -> None:
    if form({b"accept": accept.encode()}).answer:
        assert "protobuf" in accept or "json" in accept


def url(version: int | None = None, label: str | None = None) -> Route:
    return Route(Kind.PREDICT, "m", version, label)


@pytest.mark.parametrize(
    ("route", "spec", "target"),
    [
        (url(), None, Target("m", None, None, "")),
        (url(3), None, Target("m", 3, None, "")),
        (url(), Target("", None, None, "s"), Target("m", None, None, "s")),
        (url(3), Target("", None, None, "s"), Target("m", 3, None, "s")),
        (url(3), Target("m", 3, None, ""), Target("m", 3, None, "")),
        (url(label="a"), Target("m", None, None, ""), Target("m", None, "a", "")),
        (url(label="a"), Target("m", None, "a", ""), Target("m", None, "a", "")),
        (url(), Target("m", 4, None, "s"), Target("m", 4, None, "s")),
        (url(), Target("", None, "b", "s"), Target("m", None, "b", "s")),
        (url(), Target("", None, "", ""), Target("m", None, "", "")),
    ],
)
def test_what_url_and_message_ask_for(route: Route, spec: Target | None, target: Target) -> None:
    assert target_of_both(route, spec) == target


@pytest.mark.parametrize(
    ("route", "spec", "text"),
    [
        (url(), Target("n", None, None, ""), 'The URL asks for model "m", and model_spec for "n"'),
        (url(3), Target("m", 4, None, ""), "The URL asks for version 3, and model_spec for version 4"),
        (url(3), Target("m", None, "a", ""), 'The URL asks for version 3, and model_spec for label "a"'),
        (url(label="a"), Target("", 3, None, ""), 'The URL asks for label "a", and model_spec for version 3'),
        (url(label="a"), Target("", None, "", ""), 'The URL asks for label "a", and model_spec for label ""'),
    ],
)
def test_contradictions(route: Route, spec: Target, text: str) -> None:
    with pytest.raises(ServingError) as raised:
        target_of_both(route, spec)
    assert (raised.value.code, raised.value.message) == (Code.INVALID_ARGUMENT, text)
