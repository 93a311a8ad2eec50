"""gRPC calls whose messages are odd, over a well-behaved client."""

from __future__ import annotations

from random import Random

import grpc

from tests.fuzz.attack import Attacker, Outcome, Target, unexpected
from tests.fuzz.messages import Messages

_PREDICTION = "/tensorflow.serving.PredictionService/"
_MODELS = "/tensorflow.serving.ModelService/"
# A reload would change what is served, so of these only what cannot be read is sent.
_NO_MESSAGE = (b"\xff", b"\x0a\xff\xff\xff\xff\x0f", b"\x0a\x05\x0a", b"\x07")
_COMPLAINTS = {"UNKNOWN", "DEADLINE_EXCEEDED", "UNAVAILABLE", "CANCELLED"}


class Calls(Attacker):
    """Requests of all services, legal in the oddest forms, and damaged."""

    name = "calls"

    def __init__(self, target: Target) -> None:
        super().__init__(target)
        options = (("grpc.use_local_subchannel_pool", 1), ("grpc.max_receive_message_length", -1))
        self._channel = grpc.insecure_channel(f"127.0.0.1:{target.grpc_port}", options)

    def attack(self, chance: Random) -> Outcome:
        """One call."""
        writer = Messages(chance.getrandbits(64))
        method, make = chance.choice(
            [
                *[(_PREDICTION + "Predict", writer.predict)] * 5,
                *[(_PREDICTION + "Classify", writer.examples_request)] * 2,
                *[(_PREDICTION + "Regress", writer.examples_request)] * 2,
                *[(_PREDICTION + "MultiInference", writer.multi_inference)] * 2,
                (_PREDICTION + "GetModelMetadata", writer.metadata_request),
                (_MODELS + "GetModelStatus", writer.status_request),
                (_MODELS + "HandleReloadConfigRequest", lambda: chance.choice(_NO_MESSAGE)),
                ("/grpc.health.v1.Health/Check", lambda: writer.text(1, chance.choice(("", "x")))),
                ("/no.such.Service/Method", writer.predict),
            ]
        )
        data = make()
        if "Reload" not in method:
            how = chance.random()
            if how < 0.25:
                data = writer.damaged(data)
            elif how < 0.28:
                data = chance.randbytes(chance.randint(0, 200))
        call = self._channel.unary_unary(method)
        sent = method.encode() + b"\n" + data
        name = method.rsplit("/", 1)[1]
        try:
            answer = call(data, timeout=self.target.patience_seconds)
        except grpc.RpcError as error:
            code, text = error.code().name, error.details() or ""
            complaint = unexpected(text.encode(errors="replace"))
            if not complaint and code in _COMPLAINTS:
                complaint = "a status that says something about the server"
            return Outcome(f"{name} {code}", sent, f"{code}: {text}".encode(errors="replace"), complaint)
        return Outcome(f"{name} OK", sent, answer[:65_536])

    def close(self) -> None:
        """Close the connection."""
        self._channel.close()
