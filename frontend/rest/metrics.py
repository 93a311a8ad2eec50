"""The page for Prometheus: the path of `--monitoring_config_file`, outside of the REST API."""

from __future__ import annotations

from frontend.exchange import Exchange
from frontend.rest.json_encode import encode_error
from frontend.rest.urls import without_origin
from frontend.scrapes import Scrape
from protos.errors import ServingError

_TEXT = b"Content-Type: text/plain\r\n"


class MetricsPage:
    """Answers at `path`, for any method, with what `scrape` gets; never with CORS headers."""

    def __init__(self, path: str, scrape: Scrape) -> None:
        self._path = path
        self._scrape = scrape

    def answer(self, exchange: Exchange) -> None:
        """Answer with the metrics, or with 503."""

        def done(outcome: bytes | ServingError) -> None:
            if isinstance(outcome, ServingError):
                exchange.respond(503, encode_error(outcome.message))
            else:
                exchange.respond(200, outcome, _TEXT)

        exchange.body = b""
        try:
            exchange.on_cancel = self._scrape(done)
        except ServingError as error:
            done(error)

    def takes(self, exchange: Exchange) -> bool:
        """Answer a request that is not for this path to the letter, if it is for this page all the same.

        As upstream, a query is refused.
        """
        target = without_origin(exchange.target)
        path, question, _ = target.partition("?")
        if path != self._path:
            return False
        if question:
            message = f"Unexpected path: {target}. Should be {self._path}"
            exchange.respond(400, message.encode("latin-1", "replace"), _TEXT)
        else:
            self.answer(exchange)
        return True
