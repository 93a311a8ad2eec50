"""Metrics as text, in the form that Prometheus reads (exposition format 0.0.4, `text/plain`).

Names, order and TYPE lines are those of TensorFlow Serving's exporter, so its dashboards find what they look for:
`/tensorflow/serving/request_count` is `:tensorflow:serving:request_count`. Line ends in label values are escaped,
and sums have all their digits; there they are not and have six.
"""

from __future__ import annotations

import re
from collections.abc import Iterable, Mapping
from itertools import accumulate

from protos.metrics import CellSnapshot, Definition, Labels

_NOT_IN_NAMES = re.compile(r"[^A-Za-z0-9_]")
_ESCAPES = str.maketrans({"\\": r"\\", '"': r"\"", "\n": r"\n"})


def exposition(definitions: Iterable[Definition], cells: Mapping[tuple[str, Labels], CellSnapshot]) -> str:
    """The text: metrics in the byte order of their names, the cells of each in the order of their label values.

    Args:
        definitions: all metrics; one without cells has its TYPE line alone, if it has that always.
        cells: by name and labels, which fit their definition; others are left out.
    """
    by_name: dict[str, list[CellSnapshot]] = {}
    for _, cell in sorted(cells.items()):
        by_name.setdefault(cell.name, []).append(cell)
    lines: list[str] = []
    for definition in sorted(definitions, key=lambda definition: definition.name):
        found = by_name.get(definition.name, [])
        if not found and not definition.always:
            continue
        name = metric_name(definition.name)
        lines.append(f"# TYPE {name} {definition.kind}")
        labels = [label_name(label) for label in definition.labels]
        if definition.kind == "histogram":
            _histograms(lines, name, labels, definition.limits, found)
        else:
            lines += [f"{name}{{{_labels(labels, cell.labels)}}} {number(cell.sum)}" for cell in found]
    return "\n".join(lines) + "\n"


def metric_name(name: str) -> str:
    """The name as Prometheus shows it."""
    shown = _NOT_IN_NAMES.sub(":", name)
    return f"_{shown}" if shown[:1].isdigit() else shown


def label_name(name: str) -> str:
    """The name of a label as Prometheus shows it."""
    shown = _NOT_IN_NAMES.sub("_", name)
    return f"_{shown}" if shown[:1].isdigit() else shown


def number(value: float) -> str:
    """All digits that a value has, and no fraction when it has none."""
    return str(int(value)) if float(value).is_integer() else repr(value)


def _labels(names: list[str], values: Labels) -> str:
    return ",".join([f'{name}="{value.translate(_ESCAPES)}"' for name, value in zip(names, values, strict=True)])


def _histograms(
    lines: list[str], name: str, labels: list[str], limits: tuple[float, ...], cells: list[CellSnapshot]
) -> None:
    ends = [f'le="{limit:g}"}} ' for limit in limits] + ['le="+Inf"} ']
    for cell in cells:
        own = _labels(labels, cell.labels)
        start = f"{name}_bucket{{{own}," if own else f"{name}_bucket{{"
        cumulative = list(accumulate(cell.counts))
        lines += [f"{start}{end}{count}" for end, count in zip(ends, cumulative, strict=True)]
        lines.append(f"{name}_sum{{{own}}} {number(cell.sum)}")
        lines.append(f"{name}_count{{{own}}} {cumulative[-1]}")
