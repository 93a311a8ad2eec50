"""A sample SavedModel for Classify, Regress and MultiInference: good outputs, and wrong ones of every kind."""

from __future__ import annotations

from pathlib import Path
from typing import Any

from workers.sample_model import CLASSIFY, PREDICT, REGRESS, Signature, save

FAILURE = "Run totally failed"


def inferences(path: Path) -> None:
    """From a tf.Example come `label` (2 strings, "" where absent) and `score` (2 floats, 0 where absent).

    All signatures take `inputs`, unless their name says otherwise. Good ones: serving_default -> `classes` = label and
    `scores` = score; classes_only, scores_only; one_known -> `scores`, `extra`; no_method_name -> as serving_default;
    no_classes -> `scores` [-1, 0]; regress -> `outputs` [-1] = the first score; regress_column the same as [-1, 1];
    regress_second -> the second score, by another input tensor. The others are wrong in one way each.
    """
    import tensorflow as tf

    tf1 = tf.compat.v1

    def parsed(examples: Any) -> tuple[Any, Any]:
        features = tf1.parse_example(
            examples,
            {
                "label": tf1.FixedLenFeature([2], tf.string, default_value=["", ""]),
                "score": tf1.FixedLenFeature([2], tf.float32, default_value=[0.0, 0.0]),
            },
        )
        return features["label"], features["score"]

    def build() -> dict[str, Signature]:
        examples = tf1.placeholder(tf.string, [None], name="examples")
        others = tf1.placeholder(tf.string, [None], name="others")
        label, score = parsed(examples)
        first = score[:, 0]
        whole = tf.cast(score, tf.int64)
        inputs = {"inputs": examples}
        with tf.control_dependencies([tf.debugging.Assert(tf.equal(tf.size(examples), -1), [FAILURE])]):
            broken = tf.identity(score)

        def classify(**outputs: Any) -> Signature:
            return Signature(CLASSIFY, inputs, outputs)

        def regress(**outputs: Any) -> Signature:
            return Signature(REGRESS, inputs, outputs)

        return {
            "serving_default": classify(classes=label, scores=score),
            "classes_only": classify(classes=label),
            "scores_only": classify(scores=score),
            "one_known": classify(scores=score, extra=label),
            "no_classes": classify(scores=score[:, :0]),
            "no_method_name": Signature("", inputs, {"classes": label, "scores": score}),
            "regress": regress(outputs=first),
            "regress_column": regress(outputs=first[:, None]),
            "regress_second": Signature(REGRESS, {"inputs": others}, {"outputs": parsed(others)[1][:, 1]}),
            "regress_no_method_name": Signature("", inputs, {"outputs": first}),
            # Wrong signatures.
            "two_inputs": Signature(CLASSIFY, {"inputs": examples, "others": others}, {"scores": score}),
            "two_inputs_regress": Signature(REGRESS, {"inputs": examples, "others": others}, {"outputs": first}),
            "three_outputs": classify(classes=label, scores=score, extra=first),
            "two_outputs_regress": regress(outputs=first, extra=first),
            "named_examples": Signature(CLASSIFY, {"examples": examples}, {"scores": score}),
            "named_examples_regress": Signature(REGRESS, {"examples": examples}, {"outputs": first}),
            "unknown_outputs": classify(labels=label, numbers=score),
            "unknown_output_regress": regress(scores=first),
            "predict": Signature(PREDICT, {"x": examples}, {"y": first}),
            # Wrong outputs.
            "fails": classify(scores=broken),
            "flat_classes": classify(classes=label[:, 0]),
            "flat_scores": classify(scores=first),
            "number_classes": classify(classes=whole),
            "number_scores": classify(scores=whole),
            "short_classes": classify(classes=label[1:]),
            "short_scores": classify(scores=score[1:]),
            "more_scores": classify(classes=label, scores=tf.concat([score, score], axis=1)),
            "regress_matrix": regress(outputs=score),
            "regress_short": regress(outputs=first[1:]),
            "regress_numbers": regress(outputs=whole[:, 0]),
        }

    save(path, build)
