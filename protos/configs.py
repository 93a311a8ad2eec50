"""What control tells the other processes about how to work: part of `messages.Welcome`.

An incompatible change here is one of the protocol: see `messages.PROTOCOL_VERSION`.
"""

from __future__ import annotations

import msgspec


class BatchingConfig(msgspec.Struct, frozen=True, kw_only=True):
    """`BatchingParameters` with defaults applied; sizes are rows, times microseconds."""

    max_batch_size: int = 1000
    batch_timeout_micros: int = 0
    max_enqueued_batches: int = 10
    num_batch_threads: int
    allowed_batch_sizes: tuple[int, ...] = ()
    pad_variable_length_inputs: bool = False
    enable_large_batch_splitting: bool = False
    max_execution_batch_size: int = 1000


class WorkerConfig(msgspec.Struct, frozen=True, kw_only=True):
    """What control tells a worker about how to load and run.

    Attributes:
        saved_model_tags: tag set of the MetaGraph to load.
        session_config: serialized `tensorflow.ConfigProto`.
        batching: None runs each request alone.
        num_run_threads: executor threads for expensive requests when not batching; 0 means one a CPU.
        num_load_threads: how many versions may load at once.
        max_num_load_retries, load_retry_interval_micros: as the flags of the same names.
        tflite_interpreters: how many run a version's `model.tflite` at most at a time; 0 leaves such files alone.
        warmup: replay a version's own requests before it is available, `warmup_iterations` times each.
        auto_warmup: a version without such requests is run with made-up inputs.
        load_timeout_seconds: a load that takes longer has failed; 0 for never.
        max_outstanding_requests: requests a worker holds before it refuses with UNAVAILABLE.
        heartbeat_seconds: how often a peer says that it lives.
    """

    saved_model_tags: tuple[str, ...] = ("serve",)
    session_config: bytes = b""
    batching: BatchingConfig | None = None
    num_run_threads: int = 0
    num_load_threads: int = 1
    max_num_load_retries: int = 5
    load_retry_interval_micros: int = 60_000_000
    tflite_interpreters: int = 0
    warmup: bool = True
    warmup_iterations: int = 1
    auto_warmup: bool = False
    load_timeout_seconds: float = 0.0
    max_outstanding_requests: int = 16_384
    heartbeat_seconds: float = 1.0


class TlsConfig(msgspec.Struct, frozen=True, kw_only=True):
    """`SSLConfig`: PEM texts, not paths. `protos.tls` makes a context of it.

    Attributes:
        key: private key, not encrypted; never shown by `repr`.
        certificates: the server's own first, then those between it and its root.
        client_ca: who may sign clients' certificates; empty for the authorities of the system.
        verify_clients: a client without such a certificate is refused.
    """

    key: str
    certificates: str
    client_ca: str = ""
    verify_clients: bool = False

    def __repr__(self) -> str:
        return f"TlsConfig(verify_clients={self.verify_clients})"


class GrpcConfig(msgspec.Struct, frozen=True, kw_only=True):
    """What `--grpc_channel_arguments` says about connections; the defaults are those of gRPC's C++ server.

    Attributes:
        max_send_bytes: limit of an answer's message; < 0 for none.
        max_metadata_bytes: limit of a request's header list; 0 takes `FrontendConfig.max_header_bytes`.
        max_frame_bytes: the largest HTTP/2 frame that a client may send.
        max_age_seconds: a connection of this age, give or take 10 %, takes no more calls; 0 never.
        age_grace_seconds: how long after that its calls may go on before it is closed; < 0 for as long as they take.
        idle_seconds: a connection without a call for so long is closed; 0 never.
        keepalive_seconds: a client that has sent nothing for so long is sent a PING; 0 never.
        keepalive_timeout_seconds: how long it may then be silent before its connection is closed.
    """

    max_send_bytes: int = -1
    max_metadata_bytes: int = 0
    max_frame_bytes: int = 1 << 20
    max_age_seconds: float = 0.0
    age_grace_seconds: float = -1.0
    idle_seconds: float = 0.0
    keepalive_seconds: float = 7200.0
    keepalive_timeout_seconds: float = 20.0


class FrontendConfig(msgspec.Struct, frozen=True, kw_only=True):
    """What control tells a front end about how to listen and answer.

    Attributes:
        grpc_port: TCP port on all IPv4 interfaces; 0 for none.
        grpc_socket_path: unix socket for gRPC; empty for none.
        rest_port: TCP port on all interfaces; 0 for none.
        tls: for gRPC, on TCP and on the unix socket; None serves without encryption.
        rest_tls: the same for REST.
        rest_timeout_ms: deadline of a REST inference; <= 0 for none.
        rest_compression_min_bytes: JSON answers from this size on are compressed for clients that accept gzip; 0: none.
        max_body_bytes: limit of a REST body.
        max_message_bytes: limit of a gRPC message.
        max_header_bytes: limit of a request head.
        max_header_count: limit of the fields in one.
        max_json_depth: levels of arrays that a tensor in a REST body may have.
        max_connections: per front end; more are closed at once.
        max_streams: concurrent HTTP/2 streams of one connection.
        max_outstanding_requests: requests that wait for workers; more are refused with RESOURCE_EXHAUSTED.
        idle_timeout_seconds: a connection without a request for so long is closed; <= 0 never.
        grpc: what concerns gRPC connections only.
        grpc_health: offer grpc.health.v1.Health.
        request_timeout_seconds: a client that needs longer than this to send one request is cut off.
        metrics_path: where the REST port answers with the metrics of the whole server; empty for nowhere.
        drain_seconds: how long a stopping front end waits for requests in flight.
    """

    grpc_port: int = 8500
    grpc_socket_path: str = ""
    rest_port: int = 0
    tls: TlsConfig | None = None
    rest_tls: TlsConfig | None = None
    rest_timeout_ms: int = 30_000
    rest_compression_min_bytes: int = 0
    enable_cors: bool = False
    serialize_as_tensor_content: bool = False
    check_method_name: bool = False
    max_body_bytes: int = 256 << 20
    max_message_bytes: int = (1 << 31) - 1
    max_header_bytes: int = 64 * 1024
    max_header_count: int = 256
    max_json_depth: int = 254
    max_connections: int = 65_536
    max_streams: int = 1_024
    max_outstanding_requests: int = 16_384
    idle_timeout_seconds: float = 0.0
    grpc: GrpcConfig = GrpcConfig()
    grpc_health: bool = False
    request_timeout_seconds: float = 120.0
    metrics_path: str = ""
    drain_seconds: float = 10.0
    heartbeat_seconds: float = 1.0
