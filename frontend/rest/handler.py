"""REST requests to their handlers: URL grammar, OPTIONS, content encoding; errors become JSON."""

from __future__ import annotations

import logging
import zlib
from time import monotonic_ns

from frontend.exchange import Exchange
from frontend.metrics import since_us
from frontend.model_info import model_metadata, model_status
from frontend.rest import media, openapi, urls
from frontend.rest.binary import BinaryPredict
from frontend.rest.health import Health
from frontend.rest.inference import Examples
from frontend.rest.json_encode import encode_error, encode_metadata, encode_status
from frontend.rest.metrics import MetricsPage
from frontend.rest.replies import Replies
from frontend.rest.urls import Kind
from frontend.router import Router
from frontend.scrapes import Scrape
from protos.configs import FrontendConfig
from protos.errors import Code, ServingError, invalid_argument
from protos.inference_methods import CLASSIFY, REGRESS
from protos.tensor_view import Target

log = logging.getLogger("tensormux.frontend")

# Upstream's limit: a small body must not become hours of work.
_MAX_INFLATED_BYTES = 100 << 20
_PLAIN = media.PLAIN


class RestHandler:
    """The REST API as one callable for `HttpConnection`."""

    def __init__(self, router: Router, config: FrontendConfig, scrape: Scrape) -> None:
        self._router = router
        # Without metrics no target equals their path.
        self._metrics_path = config.metrics_path
        self._metrics = MetricsPage(config.metrics_path, scrape)
        # Of requests that are no inference: their API has no name.
        self._latencies = router.metrics.latencies("", "REST")
        self._replies = Replies(cors=config.enable_cors, compression_min_bytes=config.rest_compression_min_bytes)
        self._health = Health(router, self._replies)
        self._max_inflated_bytes = min(config.max_body_bytes, _MAX_INFLATED_BYTES)
        self._predict = BinaryPredict(
            router,
            self._replies,
            timeout_ms=config.rest_timeout_ms,
            check_method_name=config.check_method_name,
            max_rank=config.max_json_depth,
            as_content=config.serialize_as_tensor_content,
        )
        self._inferences = {Kind.PREDICT: self._predict.handle} | {
            kind: Examples(
                router,
                self._replies,
                how,
                timeout_ms=config.rest_timeout_ms,
                check_method_name=config.check_method_name,
            ).handle
            for kind, how in ((Kind.CLASSIFY, CLASSIFY), (Kind.REGRESS, REGRESS))
        }

    def __call__(self, exchange: Exchange) -> None:
        """Answer, now or later."""
        if exchange.target == self._metrics_path:
            self._metrics.answer(exchange)
            return
        started_ns = monotonic_ns()
        model = ""
        try:
            url = urls.route(exchange.method, exchange.target)
            model = url.model
            if exchange.method == "POST":  # an inference: `urls` has no others
                body, exchange.body = exchange.body, b""
                fields = exchange.fields
                encoding = fields.get(b"content-encoding")
                if encoding is not None and b"gzip" in encoding:
                    body = _gunzip(body, self._max_inflated_bytes)
                    if len(body) > self._max_inflated_bytes:
                        message = f"the decompressed body is larger than {self._max_inflated_bytes} bytes"
                        self._router.metrics.failed(model, invalid_argument(message))
                        exchange.respond(413, encode_error(message), self._replies.headers)
                        return
                plain = fields.get(b"content-type") in _PLAIN and fields.get(b"accept") in _PLAIN
                if plain and url.kind is Kind.PREDICT:
                    self._predict(exchange, url, body)
                else:
                    self._inferences[url.kind](exchange, url, body, media.form(fields))
            elif url.kind is Kind.STATUS:
                self._status(exchange, url)
                self._latencies[model].observe(since_us(started_ns))
            elif url.kind is Kind.METADATA:
                self._metadata(exchange, url)
                self._latencies[model].observe(since_us(started_ns))
            elif url.kind in (Kind.LIVE, Kind.READY, Kind.MODEL_READY):
                self._health(exchange, url)
            elif url.kind is Kind.OPTIONS:
                self._options(exchange)
                self._latencies[model].observe(since_us(started_ns))
            elif url.kind is Kind.OPENAPI:
                self._replies.success(exchange, openapi.document(self._metrics_path))
        except ServingError as error:
            if model or not self._outside(exchange, error):
                self._fail(exchange, model, error)
        except Exception:  # one request's trouble is not the connection's
            log.exception("%s %s failed", exchange.method, exchange.target)
            self._fail(exchange, model, ServingError(Code.INTERNAL, "internal error"))

    def _fail(self, exchange: Exchange, model: str, error: ServingError) -> None:
        self._router.metrics.failed(model, error)
        self._replies.error(exchange, error)

    def _outside(self, exchange: Exchange, error: ServingError) -> bool:
        """Answer what does not belong to the API, and does not count as a request, upstream."""
        if self._metrics_path and self._metrics.takes(exchange):
            return True
        if error.code != Code.NOT_FOUND:
            return False
        self._replies.error(exchange, error)
        return True

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
        self._replies.success(exchange, encode_status(model_status(catalog, url.model, version)))

    def _metadata(self, exchange: Exchange, url: urls.Route) -> None:
        target = Target(url.model, url.version, url.label, "")
        spec, signatures = model_metadata(self._router.catalog, target)
        self._replies.success(exchange, encode_metadata(spec, signatures))


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
