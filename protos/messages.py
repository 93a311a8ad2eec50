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

from protos.configs import FrontendConfig, WorkerConfig
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
