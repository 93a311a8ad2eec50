"""What the larger sample models compute, in NumPy: their weights, and the right answer for an input.

Weights come from fixed seeds, so that whoever asks a server can tell a right answer without TensorFlow.
"""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
import numpy.typing as npt

Floats = npt.NDArray[np.float32]

MLP_SIZES = (256, 512, 256, 128, 1)
CTR_VOCABULARY = 10_000
CTR_IDS_PER_ROW = 20
CTR_WIDTH = 16
CTR_CROSSES = 3
IMAGE_SHAPE = (224, 224, 3)
IMAGE_CLASSES = 10
WIDE_COLUMNS = 4096


def _normal(seed: int, *shape: int, scale: float) -> Floats:
    return (np.random.default_rng(seed).standard_normal(shape) * scale).astype(np.float32)


def _sigmoid(x: Floats) -> Floats:
    return (1.0 / (1.0 + np.exp(-x))).astype(np.float32)


def mlp_weights() -> list[tuple[Floats, Floats]]:
    """(weights, biases) of each dense layer."""
    return [
        (_normal(10 + i, n, m, scale=n**-0.5), _normal(20 + i, m, scale=0.1))
        for i, (n, m) in enumerate(zip(MLP_SIZES, MLP_SIZES[1:], strict=False))
    ]


def mlp(x: Floats) -> Floats:
    """[rows, 256] -> [rows, 1]: relu between layers, none after the last."""
    layers = mlp_weights()
    for i, (weights, biases) in enumerate(layers):
        x = x @ weights + biases
        if i < len(layers) - 1:
            x = np.maximum(x, np.float32(0))
    return x


def ctr_id(number: int) -> bytes:
    """The id that the table maps to row `number + 1`; row 0 is that of an unknown id."""
    return f"item-{number:05d}".encode()


def ctr_weights() -> tuple[Floats, Floats, Floats, Floats]:
    """Embeddings [vocabulary + 1, width]; weights and biases of the crosses [crosses, width]; of the score [width]."""
    return (
        _normal(30, CTR_VOCABULARY + 1, CTR_WIDTH, scale=0.2),
        _normal(31, CTR_CROSSES, CTR_WIDTH, scale=0.2),
        _normal(32, CTR_CROSSES, CTR_WIDTH, scale=0.1),
        _normal(33, CTR_WIDTH, scale=0.5),
    )


def ctr(rows: Sequence[Sequence[bytes]]) -> Floats:
    """[rows][20] ids -> [rows] scores: sum of embeddings, crossed with itself, then a logistic score."""
    embeddings, cross_weights, cross_biases, score = ctr_weights()
    number = {ctr_id(i): i + 1 for i in range(CTR_VOCABULARY)}
    first = np.stack([embeddings[[number.get(item, 0) for item in row]].sum(axis=0) for row in rows])
    x = first
    for weights, biases in zip(cross_weights, cross_biases, strict=True):
        x = first * (x @ weights)[:, None] + biases + x
    return _sigmoid(x @ score)


def image_weights() -> Floats:
    """[channels, classes]."""
    return _normal(40, IMAGE_SHAPE[-1], IMAGE_CLASSES, scale=1.0)


def image(x: Floats) -> Floats:
    """[rows, 224, 224, 3] -> [rows, 10]: mean of each channel, times a matrix."""
    means: Floats = x.mean(axis=(1, 2), dtype=np.float64).astype(np.float32)
    return means @ image_weights()


def wide_weights() -> Floats:
    """[1, columns]."""
    return _normal(50, 1, WIDE_COLUMNS, scale=1.0)


def wide(x: Floats) -> Floats:
    """[rows, 1] -> [rows, 4096]: the outer product."""
    return x @ wide_weights()
