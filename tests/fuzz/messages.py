"""Serialized requests for the models that the fuzzed server has, in every form that the wire allows."""

from __future__ import annotations

import struct

from protos.dtypes import DT_FLOAT, DT_STRING, DTYPES
from tests.wire_writer import WireWriter

_SIGNATURES = ("", "", "serving_default", "regress_x_to_y", "classify_x_to_y", "classes_only", "float", "no such")
_NUMBERS = {row.name: row.number for row in DTYPES.values()}


class Messages(WireWriter):
    """As `WireWriter`, but mostly about models, signatures and inputs that there are."""

    def model_spec(self) -> bytes:
        """Mostly right."""
        if self.chance(0.1):
            return super().model_spec()
        name, signature = self._name, self._signature
        parts = [self.text(1, name)]
        if signature:
            parts.append(self.text(3, signature))
        if self.chance(0.2):
            parts.append(self.block(2, self.tag(1, 0) + self.number(self.rng.choice((0, 1, 1, 2, -1)))))
        if self.chance(0.1):
            parts.append(self.text(4, self.rng.choice(("stable", "x"))))
        return self.join(parts)

    @property
    def model(self) -> str:
        """The model of the last request."""
        return self._name

    def _choose(self, *names: str) -> None:
        self._name = self.rng.choice(names)
        types = [row.name for row in DTYPES.values()]
        self._signature = self.rng.choice(types) if self._name == "identity" else self.rng.choice(_SIGNATURES)

    def entry(self) -> bytes:
        """An input whose name and type fit, mostly."""
        if self.chance(0.05):
            return super().entry()
        alias, number = "x", _NUMBERS.get(self._signature, DT_FLOAT)
        if self._name == "tflite_mixed":
            alias, number = self.rng.choice((("serving_default_s", DT_STRING), ("serving_default_x", DT_FLOAT)))
        tensor = self.tensor(0 if self.chance(0.1) else number)
        return self.join([self.text(1, alias), self.block(2, tensor)], disorder=0.05)

    def predict(self) -> bytes:
        """A PredictRequest."""
        if self.chance(0.1):
            self._choose("half_plus_two", "labels")
            return self.request()
        self._choose("half_plus_two", "identity", "identity", "tflite_mixed")
        if self._name != "identity" and self.chance(0.8):
            self._signature = ""
        entries = [self.block(2, self.entry()) for _ in range(6 if self._name == "tflite_mixed" else 1)]
        outputs = [self.text(3, "y")] if self.chance(0.2) and self._name != "tflite_mixed" else []
        return self.join([self.block(1, self.model_spec()), *entries, *outputs])

    # --- tf.Example; `_choose` has been called ---

    def _feature(self) -> bytes:
        fitting = 2 if self._name == "labels" else 1
        count = fitting if self.chance(0.9) else self.rng.choice((0, 1, 2, 3))
        values = [struct.pack("<f", self.rng.uniform(-10, 10)) for _ in range(count)]
        how = self.rng.random()
        if how < 0.9:
            return self.block(2, self.block(1, b"".join(values)))
        if how < 0.94:
            return self.block(1, b"".join(self.block(1, self.rng.randbytes(3)) for _ in values))
        if how < 0.98:
            return self.block(3, self.block(1, b"".join(self.number(len(value)) for value in values)))
        return self.rng.randbytes(4)

    def example(self) -> bytes:
        """A tf.Example."""
        names = ["x", *(self.rng.choice(("x2", "y", "")) for _ in range(self.rng.choice((0, 0, 1, 2))))]
        if self.chance(0.05):
            names.pop(0)
        entries = [self.block(1, self.join([self.text(1, name), self.block(2, self._feature())])) for name in names]
        example = self.block(1, self.join(entries))
        return self.damaged(example) if self.chance(0.01) else example

    def input(self) -> bytes:
        """An Input: a list of examples, with a context or without."""
        examples = [self.block(1, self.example()) for _ in range(self.rng.choice((0, 1, 1, 1, 1, 2, 2, 5, 50)))]
        if self.chance(0.2):
            return self.block(2, self.join([*examples, self.block(2, self.example())]))
        return self.block(1, self.join(examples))

    def examples_request(self) -> bytes:
        """A ClassificationRequest or RegressionRequest."""
        self._choose(*["half_plus_two", "labels"] * 4, "identity", "tflite_mixed")
        if self.chance(0.7):
            fitting = {"half_plus_two": ("classify_x_to_y", "regress_x_to_y"), "labels": ("", "classes_only")}
            self._signature = self.rng.choice(fitting.get(self._name, ("",)))
        return self.join([self.block(1, self.model_spec()), self.block(2, self.input())])

    def multi_inference(self) -> bytes:
        """A MultiInferenceRequest."""
        self._choose("half_plus_two", "half_plus_two", "labels")
        methods = ("tensorflow/serving/classify", "tensorflow/serving/regress", "tensorflow/serving/predict", "")
        tasks = []
        for _ in range(self.rng.choice((0, 1, 2, 2, 3))):
            if self._name == "half_plus_two" and self.chance(0.8):
                method = self.rng.randrange(2)
                self._signature = ("classify_x_to_y", "regress_x_to_y")[method]
            else:
                method = self.rng.randrange(4)
            tasks.append(self.block(1, self.join([self.block(1, self.model_spec()), self.text(2, methods[method])])))
        return self.join([*tasks, self.block(2, self.input())])

    def metadata_request(self) -> bytes:
        """A GetModelMetadataRequest."""
        self._choose("half_plus_two", "identity", "labels", "x")
        fields = [self.text(2, self.rng.choice(("signature_def", "signature_def", "x", ""))) for _ in range(2)]
        return self.join([self.block(1, self.model_spec()), *fields[: self.rng.randint(0, 2)]])

    def status_request(self) -> bytes:
        """A GetModelStatusRequest."""
        self._choose("half_plus_two", "identity", "labels", "x")
        return self.join([self.block(1, self.model_spec())])
