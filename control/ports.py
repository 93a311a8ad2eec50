"""Whether the ports are open, as front ends report it, and the log lines that say so.

People, scripts and container probes wait for these very lines, so they come once, when all front ends that were started
here are ready (or the first one, if they run elsewhere).
"""

from __future__ import annotations

from collections.abc import Collection

from control.log import LOGGER, bare
from protos.configs import FrontendConfig
from protos.errors import invalid_argument
from protos.messages import FrontendReport


class Ports:
    """Collects the reports of front ends."""

    def __init__(self, config: FrontendConfig, needed: Collection[str]) -> None:
        """`needed`: names of the front ends that were started here; none means that any one will do."""
        self._config = config
        self._needed = frozenset(needed)
        self._ready: set[str] = set()
        self._rest = False
        self._said: set[str] = set()
        self.open = False

    def report(self, name: str, report: FrontendReport) -> None:
        """Take in a report.

        Raises:
            ServingError: the front end cannot listen for gRPC. While `open` is false, the server cannot start.
        """
        if report.rest_error:
            text = f"Failed to start HTTP Server at localhost:{self._config.rest_port}"
            if text not in self._said:
                self._said.add(text)
                LOGGER.error("%s", text)
                LOGGER.error("%s: %s", name, report.rest_error)
        if report.grpc_error:
            LOGGER.error("%s cannot listen for gRPC: %s", name, report.grpc_error)
            raise invalid_argument("Failed to BuildAndStart gRPC server")
        if not (report.grpc_open or report.unix_open or report.rest_open):
            return
        self._ready.add(name)
        self._rest = self._rest or report.rest_open
        if not self.open and self._needed <= self._ready:
            self.open = True
            self._announce()

    def gone(self, name: str) -> None:
        """A front end has ended; its next life reports anew."""
        self._ready.discard(name)

    def _announce(self) -> None:
        config = self._config
        LOGGER.info("Using SSL credentials" if config.tls else "Using InsecureServerCredentials")
        if config.grpc_port:
            LOGGER.info("Running gRPC ModelServer at 0.0.0.0:%d ...", config.grpc_port)
        if config.grpc_socket_path:
            LOGGER.info("Running gRPC ModelServer at UNIX socket %s ...", config.grpc_socket_path)
        if self._rest:
            if config.rest_tls:
                LOGGER.info("Using SSL credentials for HTTP/REST")
            LOGGER.info("Exporting HTTP/REST API at:localhost:%d ...", config.rest_port)
            bare("[evhttp_server.cc : 245] NET_LOG: Entering the event loop ...")
