from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from frontend.rest.compression import accepts_gzip


@pytest.mark.parametrize(
    "field",
    [
        b"gzip",
        b"GZIP",
        b"x-gzip",
        b"gzip, deflate",
        b"gzip, deflate, br, zstd",
        b"deflate, gzip;q=1.0, *;q=0.5",
        b"*",
        b"*;q=0.1",
        b"br;q=1.0, gzip;q=0.8, *;q=0.1",
        b"gzip;q=0.001",
        b"gzip ; Q=0.5 , identity ; q=0.5",
        b"identity;q=0, *;q=1",
        b"identity;q=0, gzip",
        b", gzip,,",
    ],
)
def test_accepted(field: bytes) -> None:
    assert accepts_gzip(field)


@pytest.mark.parametrize(
    "field",
    [
        b"",
        b"identity",
        b"deflate",
        b"br, zstd",
        b"gzip;q=0",
        b"gzip;q=0.000",
        b"gzip;q=0, *",
        b"*;q=0",
        b"gzip, *;q=0, gzip;q=0",
        b"identity, gzip;q=0.5",
        b"identity;q=0.9, *;q=0.1",
        b"my_gzip",
        b"gzip;q=2",
        b"gzip;q=-1",
        b"gzip;q=nan",
        b"gzip;q",
        b"gzip;q=",
        b"gzip;q=1;q=0",
        b"gzip;level=9",
        b"gzip\xff",
        b"gzip" + b", deflate" * 100,
    ],
)
def test_not_accepted(field: bytes) -> None:
    assert not accepts_gzip(field)


@given(st.lists(st.sampled_from(["gzip", "identity", "*", ";", ",", "q", "=", "0", "1", ".5", " ", "ä"]), max_size=12))
def test_anything_may_be_sent(parts: list[str]) -> None:
    field = "".join(parts).encode("latin-1")
    assert accepts_gzip(field) in (True, False)
    assert not accepts_gzip(field.replace(b"gzip", b"").replace(b"*", b""))
