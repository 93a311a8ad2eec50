"""Metrics as text: what Prometheus reads, to the letter, and what its own client library makes of it."""

from __future__ import annotations

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from prometheus_client.parser import text_string_to_metric_families

from control.exposition import exposition, label_name, metric_name, number
from protos.metrics import DEFINITIONS, PADDING_SIZE, REQUEST_COUNT, CellSnapshot, Definition, Histogram

TOTAL = Definition("/test/path/total", "counter", ("name",))
GAUGE = Definition("/test/path/gague", "gauge", ("x", "y"))
EXPONENTIAL = Definition("/test/path/histogram", "histogram", ("status",), tuple(2.0**i for i in range(10)))
NO_LABELS = Definition("/test/none", "histogram", (), (1.5,))


def text(definition: Definition, *cells: CellSnapshot) -> str:
    return exposition([definition], {(cell.name, cell.labels): cell for cell in cells})


def histogram(definition: Definition, labels: tuple[str, ...], *samples: float) -> CellSnapshot:
    cell = Histogram(definition.limits)
    for sample in samples:
        cell.observe(sample)
    return CellSnapshot(definition.name, labels, cell.sum, cell.counts)


def test_a_counter() -> None:
    assert text(TOTAL, CellSnapshot(TOTAL.name, ("abc",), 2)) == (
        '# TYPE :test:path:total counter\n:test:path:total{name="abc"} 2\n'
    )


def test_a_gauge() -> None:
    assert text(GAUGE, CellSnapshot(GAUGE.name, ("abc", "def"), 5)) == (
        '# TYPE :test:path:gague gauge\n:test:path:gague{x="abc",y="def"} 5\n'
    )


def test_a_histogram_counts_a_value_on_a_limit_in_the_next_bucket() -> None:
    counts = {"1": 0, "2": 0, "4": 1, "8": 1, "16": 1, "32": 2, "64": 2, "128": 2, "256": 3, "512": 3, "+Inf": 3}
    buckets = [f':test:path:histogram_bucket{{status="good",le="{le}"}} {count}' for le, count in counts.items()]
    assert text(EXPONENTIAL, histogram(EXPONENTIAL, ("good",), 2, 20, 200)).splitlines() == [
        "# TYPE :test:path:histogram histogram",
        *buckets,
        ':test:path:histogram_sum{status="good"} 222',
        ':test:path:histogram_count{status="good"} 3',
    ]


def test_a_histogram_without_labels() -> None:
    assert text(NO_LABELS, histogram(NO_LABELS, (), 1.5)) == (
        "# TYPE :test:none histogram\n"
        ':test:none_bucket{le="1.5"} 0\n:test:none_bucket{le="+Inf"} 1\n'
        ":test:none_sum{} 1.5\n:test:none_count{} 1\n"
    )


def test_a_counter_without_labels() -> None:
    assert text(Definition("n", "counter", ()), CellSnapshot("n", (), 5)) == "# TYPE n counter\nn{} 5\n"


@pytest.mark.parametrize(
    ("value", "shown"),
    [('"abc\\"', r'"\"abc\\\""'), ("a\nb", r'"a\nb"'), (r"\n", r'"\\n"'), ("é}, ", '"é}, "'), ("", '""')],
)
def test_label_values_are_escaped(value: str, shown: str) -> None:
    assert text(TOTAL, CellSnapshot(TOTAL.name, (value,), 2)).splitlines()[1] == f":test:path:total{{name={shown}}} 2"


@pytest.mark.parametrize(
    ("function", "name", "shown"),
    [
        (metric_name, "/test/path/total", ":test:path:total"),
        (metric_name, "0/path-total_count", "_0:path:total_count"),
        (metric_name, "tensormux_x", "tensormux_x"),
        (label_name, "my-name+1", "my_name_1"),
        (label_name, "1st", "_1st"),
    ],
)
def test_names(function: object, name: str, shown: str) -> None:
    assert callable(function) and function(name) == shown


@pytest.mark.parametrize(
    ("value", "shown"),
    [(0.0, "0"), (3, "3"), (1234567.0, "1234567"), (1234567.25, "1234567.25"), (2.0**60, str(2**60)), (0.1, "0.1")],
)
def test_numbers_keep_their_digits(value: float, shown: str) -> None:
    assert number(value) == shown


def test_limits_have_six_digits() -> None:
    definition = DEFINITIONS["/tensorflow/serving/request_latency"]
    lines = text(definition, histogram(definition, ("m", "Predict", "GRPC"), 1)).splitlines()
    limits = [line.split('le="')[1].split('"')[0] for line in lines if "_bucket" in line]
    assert (limits[:4], limits[14], limits[20], limits[32:]) == (
        ["10", "18", "32.4", "58.32"],
        "37481.3",
        "1.27482e+06",
        ["1.47476e+09", "+Inf"],
    )


def test_order_and_types_of_an_empty_server() -> None:
    lines = exposition(DEFINITIONS.values(), {}).splitlines()
    assert "# TYPE :tensorflow:serving:request_count counter" in lines
    assert not any("padding_size" in line for line in lines)
    shown = [metric_name(name) for name in sorted(DEFINITIONS) if DEFINITIONS[name].always]
    assert [line.split()[2] for line in lines] == shown
    assert len({metric_name(name) for name in DEFINITIONS}) == len(DEFINITIONS)


def test_a_metric_that_is_not_always_there_comes_with_its_first_cell() -> None:
    definition = DEFINITIONS[PADDING_SIZE]
    assert text(definition, histogram(definition, ("4",), 1)).startswith(
        "# TYPE :tensorflow:serving:batching_session:padding_size histogram\n"
    )


def test_cells_are_in_the_order_of_their_labels() -> None:
    labels = [("b", "OK"), ("B", "OK"), ("a", "NOT_FOUND"), ("", "OK"), ("a", "OK")]
    cells = {(REQUEST_COUNT, label): CellSnapshot(REQUEST_COUNT, label, 1) for label in labels}
    lines = exposition([DEFINITIONS[REQUEST_COUNT]], cells).splitlines()[1:]
    assert lines == [f':tensorflow:serving:request_count{{model_name="{m}",status="{s}"}} 1' for m, s in sorted(labels)]


@settings(max_examples=60, deadline=None)
@given(st.dictionaries(st.text(st.characters(exclude_categories=["Cs"]), max_size=8), st.integers(0, 1 << 50)))
def test_prometheus_reads_what_was_counted(counts: dict[str, int]) -> None:
    cells = {(TOTAL.name, (label,)): CellSnapshot(TOTAL.name, (label,), count) for label, count in counts.items()}
    # Its parser takes other line ends for the end of a line; Prometheus itself does not.
    if any(
        len(label.splitlines()) > 1 or label != label.strip("\r\v\f\x1c\x1d\x1e\x85\u2028\u2029") for label in counts
    ):
        return
    (family,) = text_string_to_metric_families(exposition([TOTAL], cells))
    assert family.type == "counter"
    assert {sample.labels["name"]: sample.value for sample in family.samples} == counts
