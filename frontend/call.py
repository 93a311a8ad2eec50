"""One inference on its way through the front end."""

from __future__ import annotations

from typing import TYPE_CHECKING

from frontend.catalog import Catalog, Route
from protos.arena import Block
from protos.errors import ServingError
from protos.messages import Tensor
from protos.tensor_view import Target

if TYPE_CHECKING:
    from frontend.link import Link


class Call:
    """What the router knows of a request; each protocol derives its own and answers in it.

    Attributes:
        target: what the client asked for; looked up again when a version goes away.
        route: what that meant when the request was last sent.
        inputs: tensors in the signature's order.
        outputs: positions of the wanted outputs, empty for all.
        method: position in `messages.METHODS`.
        deadline_ns: monotonic; 0 for none.
        started_ns: when the request was here, monotonic.
        large: some input may be big enough to travel outside the header.
        blocks: shared memory that the worker reads; held until it has answered.
    """

    __slots__ = (
        "id",
        "target",
        "route",
        "inputs",
        "outputs",
        "deadline_ns",
        "started_ns",
        "large",
        "link",
        "tries",
        "lost",
        "blocks",
    )

    id: int
    target: Target
    route: Route
    inputs: list[Tensor]
    method = 0
    outputs: tuple[int, ...]
    deadline_ns: int
    started_ns: int
    large: bool
    link: Link | None
    tries: int
    lost: bool
    blocks: list[Block]

    def resolve(self, catalog: Catalog) -> Route:
        """Where the request goes by a new catalog.

        Raises:
            ServingError: nowhere.
        """
        return catalog.route(self.target)

    def complete(self, tensors: list[Tensor]) -> None:
        """The answer; data of tensors is never a frame number here."""
        raise NotImplementedError

    def fail(self, error: ServingError) -> None:
        """No answer, and why."""
        raise NotImplementedError
