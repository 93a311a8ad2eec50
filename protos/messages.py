"""Messages between the processes of one tensormux: msgspec Structs, in msgpack.

Two planes. On the *control plane* every peer holds one connection to control; messages are tagged unions
(`ToControl`, `ToPeer`). Control's messages are snapshots with an epoch, so losing any of them is mended by the
next. On the *data plane* a front end holds one connection to each worker; one ZeroMQ message carries all
requests (or replies) of one loop turn: frame 0 is `InferBatch` or `ReplyBatch`, further frames are the bytes of large
tensors. Data-plane structs are arrays on the wire, for speed.

`PROTOCOL_VERSION` is checked when a peer registers; raise it with every incompatible change here.
"""

from __future__ import annotations

from enum import IntEnum

import msgspec

from protos.metrics import CellSnapshot

PROTOCOL_VERSION = 3

# Tensors of at least this many bytes travel as their own ZeroMQ frame, not copied into the header frame.
FRAME_THRESHOLD_BYTES = 64 * 1024


class State(IntEnum):
    """State of a servable version; the numbers are `ModelVersionStatus.State`'s."""

    UNKNOWN = 0
    START = 10
    LOADING = 20
    AVAILABLE = 30
    UNLOADING = 40
    END = 50


# `Reply.code` of a request whose inputs lie in shared memory that the worker cannot reach: send them as frames.
CODE_NO_ARENA = 101

# `Reply.code` of a request for a version that the worker does not have (any more): nothing was run, and the front end
# resolves the request again. Never shown to a client.
CODE_GONE = 100


# What a client called, as metrics name it.
METHODS = ("Predict", "Classify", "Regress", "MultiInference")

# Between the names of several signatures that one request runs. A signature with such a name is that signature.
SIGNATURE_SEPARATOR = "\x00"

# --- data plane -----------------------------------------------------------------------------------------------


class Tensor(msgspec.Struct, array_like=True, gc=False):
    """A tensor by value.

    Attributes:
        dtype: `tensorflow.DataType` number.
        shape: fully defined, `()` for a scalar.
        data: row-major little-endian bytes (bool one byte each, half and bfloat16 two); for DT_STRING a list with
            one bytes object per element; an int tells where the bytes are: in a frame (0 is the first after the
            header), or when negative in a block of the sender's arena (-1 is the first of `InferBatch.blocks`).
    """

    dtype: int
    shape: tuple[int, ...]
    data: bytes | int | list[bytes]


class Infer(msgspec.Struct, array_like=True, gc=False):
    """One request for a worker.

    Attributes:
        id: chosen by the front end, unique per connection.
        signature: its name; or the names of several, joined by `SIGNATURE_SEPARATOR`, to be run as one. These have one
            input each, all of them are fed with the one tensor in `inputs`, and the outputs to choose from are those of
            the first signature in sorted alias order, then those of the next.
        timeout_us: time left until the client's deadline, microseconds, counted from arrival; 0 means none.
        inputs: one tensor for each input of the signature, in sorted alias order.
        outputs: positions in the sorted list of the signature's output aliases, in the order wanted; empty
            means all.
        method: position in `METHODS`, for the metrics.
    """

    id: int
    model: str
    version: int
    signature: str
    timeout_us: int
    inputs: list[Tensor]
    outputs: tuple[int, ...]
    method: int = 0


class InferBatch(msgspec.Struct, array_like=True, gc=False):
    """Front end to worker: the requests of one loop turn, and ids of requests whose client has gone.

    Attributes:
        arena: path of the front end's `protos.arena.Arena` when there are blocks.
        blocks: offset and size of tensors in it; they stay there until their request is answered, and every request
            is answered, cancelled ones too.
    """

    requests: list[Infer]
    cancelled: list[int]
    arena: str = ""
    blocks: list[tuple[int, int]] = []


class Reply(msgspec.Struct, array_like=True, gc=False):
    """Outcome of one `Infer`: canonical code; message when not OK; output tensors in the order asked for."""

    id: int
    code: int
    message: str
    outputs: list[Tensor]


class ReplyBatch(msgspec.Struct, array_like=True, gc=False):
    """Worker to front end: the replies of one loop turn."""

    replies: list[Reply]


# --- control plane: configuration --------------------------------------------------------------------------------


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


# --- control plane: peer to control ---------------------------------------------------------------------------------


class Hello(msgspec.Struct, tag=True, kw_only=True):
    """First message of a peer; sent again, with the same incarnation, whenever control asks (`Resync`).

    Attributes:
        role: "worker" or "frontend".
        name: stable name of the slot, such as "worker-0"; the same after a restart.
        incarnation: random, new with every process start.
        endpoint: where a worker takes inferences; empty for a front end.
        device: what the worker is pinned to, for people to read.
    """

    protocol: int
    role: str
    name: str
    incarnation: str
    pid: int
    endpoint: str = ""
    device: str = ""


class ServableReport(msgspec.Struct, kw_only=True):
    """State of one version on one worker; `signatures` is a serialized `tensorflow.serving.SignatureDefMap`.

    `signatures` is set when AVAILABLE. `code` and `message` tell why a version ended, OK when it was unloaded.
    """

    name: str
    version: int
    state: int
    code: int = 0
    message: str = ""
    signatures: bytes = b""


class WorkerReport(msgspec.Struct, tag=True, kw_only=True):
    """States of servables on a worker.

    Attributes:
        seq: counts a worker's reports from 1; a gap makes control ask for a `Resync`.
        full: `servables` is everything the worker knows; otherwise only what changed.
        epoch: of the last `Desired` that was applied.
    """

    seq: int
    full: bool
    epoch: int
    servables: list[ServableReport]


class FrontendReport(msgspec.Struct, tag=True, kw_only=True):
    """What a front end listens on; the errors tell why a listener could not be opened."""

    epoch: int
    grpc_open: bool = False
    unix_open: bool = False
    rest_open: bool = False
    grpc_error: str = ""
    rest_error: str = ""


class Heartbeat(msgspec.Struct, tag=True, kw_only=True):
    """Sent every `heartbeat_seconds`.

    Attributes:
        epoch: of the last snapshot applied.
        outstanding: requests that are there.
        unloads: versions that a worker has unloaded since it was started.
        memory_bytes: of a worker, without what it shares with others.
    """

    epoch: int
    outstanding: int = 0
    unloads: int = 0
    memory_bytes: int = 0


class ReloadRequest(msgspec.Struct, tag=True, kw_only=True):
    """A front end passes on HandleReloadConfigRequest.

    Attributes:
        config: a serialized `ModelServerConfig`.
        metric_names: metrics whose increase the client wants to know; names of `protos.metrics` only, each once.
    """

    id: int
    config: bytes
    metric_names: list[str] = []


class ScrapeRequest(msgspec.Struct, tag=True, kw_only=True):
    """A front end asks for the metrics of all processes as text; whatever was counted before is in the answer."""

    id: int


class MetricsReport(msgspec.Struct, tag=True, kw_only=True):
    """Answer to `MetricsRequest` `round`: everything that the peer has counted since it was started.

    A worker that ends in order sends one more, of round 0.
    """

    round: int
    cells: list[CellSnapshot]


ToControl = Hello | WorkerReport | FrontendReport | Heartbeat | ReloadRequest | ScrapeRequest | MetricsReport


# --- control plane: control to peer ---------------------------------------------------------------------------------


class Welcome(msgspec.Struct, tag=True, kw_only=True):
    """Answer to `Hello`; exactly one of the configurations is set, by the peer's role."""

    protocol: int
    worker: WorkerConfig | None = None
    frontend: FrontendConfig | None = None


class Rejected(msgspec.Struct, tag=True, kw_only=True):
    """Answer to a `Hello` that control cannot work with (other protocol version, unknown role); the peer exits."""

    reason: str


class DesiredServable(msgspec.Struct, kw_only=True):
    """A version that a worker should have loaded from `path` (a local directory)."""

    name: str
    version: int
    path: str


class Desired(msgspec.Struct, tag=True, kw_only=True):
    """Everything one worker should have loaded now; what is loaded and not listed gets unloaded."""

    epoch: int
    servables: list[DesiredServable]


class WorkerEntry(msgspec.Struct, kw_only=True):
    """A registered, live worker; front ends connect to `endpoint`. A new incarnation is a new worker.

    Attributes:
        watched: control sees how its process ends, and will tell: see `Catalog.ended`.
    """

    id: int
    name: str
    incarnation: str
    endpoint: str
    watched: bool = False


class EndedWorker(msgspec.Struct, kw_only=True):
    """How the process of a worker ended.

    Attributes:
        suspects: names and versions of what it was running, if that may be why it ended: requests for these are not to
            be tried on another worker.
    """

    incarnation: str
    suspects: list[tuple[str, int]]


class VersionEntry(msgspec.Struct, kw_only=True):
    """One version of a model, summed over workers.

    Attributes:
        state, code, message: what GetModelStatus says.
        workers: ids of the workers on which the version is AVAILABLE.
        signatures: serialized `SignatureDefMap`; empty unless some worker has the version.
    """

    version: int
    state: int
    code: int = 0
    message: str = ""
    workers: list[int] = []
    signatures: bytes = b""


class ModelEntry(msgspec.Struct, kw_only=True):
    """All versions ever seen of one model, and its labels."""

    name: str
    versions: list[VersionEntry]
    labels: dict[str, int] = {}


class Catalog(msgspec.Struct, tag=True, kw_only=True):
    """All a front end knows. Ports open when `serving` turns true and stay open.

    Attributes:
        ended: the last workers that were watched and have ended.
    """

    epoch: int
    serving: bool
    workers: list[WorkerEntry]
    models: list[ModelEntry]
    ended: list[EndedWorker] = []


class ReloadReply(msgspec.Struct, tag=True, kw_only=True):
    """Outcome of `ReloadRequest` `id`; `increases` are those of its `metric_names`, when it succeeded."""

    id: int
    code: int
    message: str
    increases: list[int] = []


class Resync(msgspec.Struct, tag=True):
    """Control has lost track of this peer (it restarted, or a report is missing): send `Hello` and a full report."""


class Stop(msgspec.Struct, tag=True, kw_only=True):
    """End in order: a front end closes its doors and drains, a worker finishes what it has; both then exit."""

    grace_seconds: float


class MetricsRequest(msgspec.Struct, tag=True, kw_only=True):
    """Send a `MetricsReport` with this number, at once."""

    round: int


class ScrapeReply(msgspec.Struct, tag=True, kw_only=True):
    """Answer to the `ScrapeRequest`s `ids`: the text in Prometheus' format."""

    ids: list[int]
    text: bytes


ToPeer = Welcome | Rejected | Desired | Catalog | ReloadReply | Resync | Stop | MetricsRequest | ScrapeReply
