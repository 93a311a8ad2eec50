"""A sample SavedModel for the rows about REST answers: many outputs, bytes, scalars, types that JSON cannot carry."""

from __future__ import annotations

from pathlib import Path

from workers.sample_model import PREDICT, Signature, save

# Outputs of these types cannot be answered over REST.
UNSUPPORTED = ("half", "bfloat16", "uint16", "complex64", "complex128")


def answers(path: Path) -> None:
    """Signatures for every row of the answers of `:predict`; inputs are of any shape.

    serving_default: `int_tensor` int32, `str_tensor` string, `float_tensor` float, `double_tensor` double -> all of
    them, and `str_tensor` once more as `str_tensor_bytes`; bytes: `x` string -> `y_bytes`; scalar: `x` float -> `total`
    []; scalars: `x` -> `total` [] and `x_again`; unequal: `x` -> `all_rows`, and the first of them as `one_row`;
    no_rows: `x` -> `y`, none of its rows; no_outputs: `x` ->; no_inputs: -> `y` float [2]; to_<type>: `x` float -> `y`
    of a type of UNSUPPORTED.
    """
    import tensorflow as tf

    tf1 = tf.compat.v1

    def build() -> dict[str, Signature]:
        types = {"int": tf.int32, "str": tf.string, "float": tf.float32, "double": tf.float64}
        several = {f"{kind}_tensor": tf1.placeholder(dtype, name=f"{kind}_in") for kind, dtype in types.items()}
        copies = {alias: tf.identity(tensor, name=alias) for alias, tensor in several.items()}
        copies["str_tensor_bytes"] = tf.identity(several["str_tensor"])
        x = tf1.placeholder(tf.float32, name="x")
        text = tf1.placeholder(tf.string, name="text")
        total, again = tf.reduce_sum(x), tf.identity(x)
        signatures = {
            "serving_default": Signature(PREDICT, several, copies),
            "bytes": Signature(PREDICT, {"x": text}, {"y_bytes": tf.identity(text)}),
            "scalar": Signature(PREDICT, {"x": x}, {"total": total}),
            "scalars": Signature(PREDICT, {"x": x}, {"total": total, "x_again": again}),
            "unequal": Signature(PREDICT, {"x": x}, {"all_rows": again, "one_row": x[:1]}),
            "no_rows": Signature(PREDICT, {"x": x}, {"y": x[:0]}),
            "no_outputs": Signature(PREDICT, {"x": x}, {}),
            "no_inputs": Signature(PREDICT, {}, {"y": tf.constant([1.0, 2.0])}),
        }
        for name in UNSUPPORTED:
            y = tf.cast(x, tf.dtypes.as_dtype(name))
            signatures[f"to_{name}"] = Signature(PREDICT, {"x": x}, {"y": y})
        return signatures

    save(path, build)
