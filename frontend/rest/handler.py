"""REST requests to their handlers: URL grammar, OPTIONS, content encoding; errors become JSON."""

from __future__ import annotations

import logging
import zlib
from time import monotonic_ns

from frontend.exchange import Exchange
from frontend.metrics import since_us
from frontend.model_info import model_metadata, model_status
from frontend.rest import urls
from frontend.rest.json_encode import encode_error, encode_metadata, encode_status
from frontend.rest.predict import Predict
from frontend.rest.replies import Replies
from frontend.rest.urls import Kind
from frontend.router import Router
from protos.errors import Code, ServingError, invalid_argument
from protos.messages import FrontendConfig
from protos.tensor_view import Target

log = logging.getLogger("tensormux.frontend")

# Upstream's limit: a small body must not become hours of work.
_MAX_INFLATED_BYTES = 100 << 20


class RestHandler:
    """The REST API as one callable for `HttpConnection`."""

    def __init__(self, router: Router, config: FrontendConfig) -> None:
        self._router = router
        # Of requests that are no inference: their API has no name.
        self._latencies = router.metrics.latencies("", "REST")
        self._replies = Replies(cors=config.enable_cors)
        self._max_inflated_bytes = min(config.max_body_bytes, _MAX_INFLATED_BYTES)
        self._predict = Predict(
            router,
            self._replies,
            timeout_ms=config.rest_timeout_ms,
            check_method_name=config.check_method_name,
        )

    def __call__(self, exchange: Exchange) -> None:
        """Answer, now or later."""
        started_ns = monotonic_ns()
        model = ""
        try:
            if exchange.method == "OPTIONS":
                self._options(exchange)
                self._latencies[model].observe(since_us(started_ns))
                return
            url = urls.route(exchange.method, exchange.target)
            model = url.model
            if url.kind is Kind.PREDICT:
                body, exchange.body = exchange.body, b""
                if b"gzip" in exchange.field(b"content-encoding"):
                    body = _gunzip(body, self._max_inflated_bytes)
                    if len(body) > self._max_inflated_bytes:
                        message = f"the decompressed body is larger than {self._max_inflated_bytes} bytes"
                        self._router.metrics.failed(model, invalid_argument(message))
                        exchange.respond(413, encode_error(message), self._replies.headers)
                        return
                self._predict(exchange, url, body)
            elif url.kind is Kind.STATUS:
                self._status(exchange, url)
                self._latencies[model].observe(since_us(started_ns))
            elif url.kind is Kind.METADATA:
                self._metadata(exchange, url)
                self._latencies[model].observe(since_us(started_ns))
            else:
                raise ServingError(Code.UNIMPLEMENTED, f"{url.kind.value} is not implemented yet")
        except ServingError as error:
            self._fail(exchange, model, error)
        except Exception:  # one request's trouble is not the connection's
            log.exception("%s %s failed", exchange.method, exchange.target)
            self._fail(exchange, model, ServingError(Code.INTERNAL, "internal error"))

    def _fail(self, exchange: Exchange, model: str, error: ServingError) -> None:
        self._router.metrics.failed(model, error)
        self._replies.error(exchange, error)

    def _options(self, exchange: Exchange) -> None:
        """CORS preflight, answered alike whether CORS is enabled or not."""
        origin = exchange.field(b"origin")
        if b"http://" not in origin and b"https://" not in origin:
            raise ServingError(Code.FAILED_PRECONDITION, "Origin header is missing in CORS preflight")
        exchange.respond(200, b"", b"Content-Type: text/html; charset=ISO-8859-1\r\n" + self._replies.cors)

    def _status(self, exchange: Exchange, url: urls.Route) -> None:
        catalog = self._router.catalog
        version = url.version
        if url.label is not None:
            version = catalog.resolve(Target(url.model, None, url.label, "")).version
        exchange.respond(200, encode_status(model_status(catalog, url.model, version)), self._replies.headers)

    def _metadata(self, exchange: Exchange, url: urls.Route) -> None:
        target = Target(url.model, url.version, url.label, "")
        spec, signatures = model_metadata(self._router.catalog, target)
        exchange.respond(200, encode_metadata(spec, signatures), self._replies.headers)


def _gunzip(data: bytes, max_bytes: int) -> bytes:
    """What gzip data holds; one byte more than `max_bytes` when it is larger.

    Raises:
        ServingError: INVALID_ARGUMENT, not gzip data.
    """
    inflater = zlib.decompressobj(wbits=31)
    try:
        body = inflater.decompress(data, max_bytes + 1)
    except zlib.error as error:
        raise invalid_argument(f"the body is not valid gzip data: {error}") from None
    if len(body) <= max_bytes and not inflater.eof:
        raise invalid_argument("the body is not valid gzip data: it ends too soon")
    return body
