from __future__ import annotations

import socket

import pytest

from control.children import tcp_port_is_free


@pytest.mark.parametrize("reuse", [False, True])
@pytest.mark.parametrize("family,address", [(socket.AF_INET, "0.0.0.0"), (socket.AF_INET, "127.0.0.1")])
def test_a_port_that_somebody_listens_on_is_not_free(family: int, address: str, reuse: bool) -> None:
    with socket.socket(family, socket.SOCK_STREAM) as sock:
        if reuse:
            sock.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEPORT, 1)
        sock.bind((address, 0))
        sock.listen()
        port = sock.getsockname()[1]
        assert not tcp_port_is_free(port)
    assert tcp_port_is_free(port)
