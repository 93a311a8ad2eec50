"""Metrics of a whole server, read as Prometheus reads them, against the requests that were sent."""

from __future__ import annotations

import contextlib
import os
import signal
import socket
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest
import requests
from prometheus_client.parser import text_string_to_metric_families

from tests.e2e.clients import CALL_SECONDS, Grpc, Rest, grpc_client, predict_request, raises, rest_client
from tests.e2e.server import Server, entry, eventually, started, write_config

PATH = "/monitoring/prometheus/metrics"
BACK_SECONDS = 60.0
# As long as a request that is looked at while it runs takes.
BUSY_SECONDS = 2.5
# New connections that reach both of two front ends, but for one time in 2^19.
BOTH = 20

Key = tuple[str, frozenset[tuple[str, str]]]
COUNT = ":tensorflow:serving:request_count"
LATENCY = ":tensorflow:serving:request_latency"
RUNTIME = ":tensorflow:serving:runtime_latency"
BATCHING = ":tensorflow:serving:batching_session:"


class Scraped(dict[Key, float]):
    """The samples of one scrape by name and labels."""

    def of(self, name: str, **labels: str) -> float:
        """The sum of all samples of this name with these labels."""
        wanted = set(labels.items())
        return sum(value for (found, has), value in self.items() if found == name and wanted <= has)

    def processes(self, name: str) -> dict[str, float]:
        """A metric's values by process."""
        return {dict(labels)["process"]: value for (found, labels), value in self.items() if found == name}


def scrape(port: int) -> Scraped:
    """The metrics, from whichever front end takes a new connection; no series is there twice."""
    answer = requests.get(f"http://127.0.0.1:{port}{PATH}", timeout=CALL_SECONDS)
    assert (answer.status_code, answer.headers["Content-Type"]) == (200, "text/plain"), answer.text
    found = Scraped()
    names = []
    for family in text_string_to_metric_families(answer.text):
        names.append(family.name)
        for sample in family.samples:
            # The library adds the suffix that OpenMetrics asks for.
            name = sample.name if f"\n{sample.name}{{" in answer.text else sample.name.removesuffix("_total")
            key = (name, frozenset(sample.labels.items()))
            assert key not in found
            found[key] = sample.value
    assert len(set(names)) == len(names)
    return found


def counts(scraped: Scraped, name: str = COUNT) -> dict[tuple[str, ...], float]:
    """A counter's values by its label values, in the order of their names."""
    return {tuple(v for _, v in sorted(labels)): value for (found, labels), value in scraped.items() if found == name}


def growth(before: Scraped, after: Scraped, name: str = COUNT) -> dict[tuple[str, ...], float]:
    """By how much a counter's values have grown, those that have."""
    old = counts(before, name)
    return {key: value - old.get(key, 0) for key, value in counts(after, name).items() if value != old.get(key, 0)}


def never_falls(before: Scraped, after: Scraped) -> None:
    for (name, labels), value in before.items():
        if name.endswith(("_total", "_count", "_sum", "_bucket")):
            assert after.get((name, labels), -1) >= value, (name, labels)


@pytest.fixture(scope="module")
def measured(tmp_path_factory: pytest.TempPathFactory, model_path: Callable[[str], Path]) -> Iterator[Server]:
    """Two workers, two front ends, two models."""
    folder = tmp_path_factory.mktemp("measured")
    models = write_config(
        folder / "models.config", *(entry(name, model_path(name).parent) for name in ("half_plus_two", "slow"))
    )
    monitoring = folder / "monitoring.config"
    monitoring.write_text("prometheus_config { enable: true }")
    flags = (f"--model_config_file={models}", f"--monitoring_config_file={monitoring}")
    with started(folder, *flags, "--devices=cpu:2", "--num_frontends=2") as running:
        yield running


@pytest.fixture
def rpc(measured: Server) -> Iterator[Grpc]:
    with grpc_client(f"127.0.0.1:{measured.grpc_port}") as client:
        yield client


@pytest.fixture
def rest(measured: Server) -> Iterator[Rest]:
    with rest_client(measured.rest_port) as client:
        yield client


def by_new_connections(server: Server, call: Callable[[Rest], Any], times: int = BOTH) -> None:
    for _ in range(times):
        with rest_client(server.rest_port) as client:
            call(client)


def test_every_request_is_counted_once_whichever_front_end_answers(measured: Server, rpc: Grpc) -> None:
    before = scrape(measured.rest_port)
    for _ in range(7):
        rpc.predict("half_plus_two", {"x": [2.0]})
    for _ in range(3):
        with raises("INVALID_ARGUMENT"):
            rpc.predict("half_plus_two", {"z": [2.0]})
    with raises("INVALID_ARGUMENT"):
        rpc.predict("half_plus_two", {"x": ["no number"]})
    with raises("NOT_FOUND"):
        rpc.predict("half_plus_two", {"x": [2.0]}, version=9)
    for name in ("nobody", "somebody\n{}"):
        with raises("NOT_FOUND"):
            rpc.predict(name, {"x": [2.0]})
    # Not counted, as upstream.
    rpc.status("half_plus_two")
    rpc.metadata("half_plus_two", "signature_def")

    by_new_connections(measured, lambda rest: rest.predict("half_plus_two", [2.0]))
    by_new_connections(measured, lambda rest: rest.get("half_plus_two"), 4)
    by_new_connections(measured, lambda rest: rest.get("half_plus_two/metadata"), 2)
    by_new_connections(measured, lambda rest: rest.post("half_plus_two:predict", b"no JSON"), 3)
    by_new_connections(measured, lambda rest: rest.post("nobody:predict", {"instances": [1.0]}), 2)
    by_new_connections(measured, lambda rest: rest.get("somebody"), 1)
    by_new_connections(measured, lambda rest: rest.get("half_plus_two:predict"), 1)
    requests.get(f"http://127.0.0.1:{measured.rest_port}/elsewhere", timeout=CALL_SECONDS)

    scraped = [scrape(measured.rest_port) for _ in range(8)]
    for after in scraped:
        assert growth(before, after) == {
            ("half_plus_two", "OK"): 7 + BOTH + 4 + 2,
            ("half_plus_two", "INVALID_ARGUMENT"): 3 + 1 + 3,
            ("half_plus_two", "NOT_FOUND"): 1,
            ("", "NOT_FOUND"): 2 + 2 + 1,
            ("", "INVALID_ARGUMENT"): 1,
        }
        assert growth(before, after, f"{LATENCY}_count") == {
            ("Predict", "GRPC", "half_plus_two"): 7,
            ("predict", "REST", "half_plus_two"): BOTH,
            ("", "REST", "half_plus_two"): 4 + 2,
        }
        assert growth(before, after, f"{RUNTIME}_count") == {("Predict", "half_plus_two", "TF1"): 7 + BOTH}
        assert after.of(f"{LATENCY}_bucket", API="Predict", le="+Inf") == after.of(f"{LATENCY}_count", API="Predict")
        assert 0 < after.of(f"{RUNTIME}_sum") < after.of(f"{LATENCY}_sum")
        labels = {value for _, pairs in after for name, value in pairs if name in ("model_name", "model")}
        assert labels <= {"", "half_plus_two", "slow"}


def test_what_processes_tell_of_themselves(measured: Server, rest: Rest) -> None:
    everybody = {"control", "frontend-0", "frontend-1", "worker-0", "worker-1"}
    rest.get("half_plus_two")

    def complete() -> Scraped | None:
        # A process that does not answer in time on a busy machine is in the next scrape.
        found = scrape(measured.rest_port)
        return found if set(found.processes("tensormux_process_cpu_seconds_total")) == everybody else None

    found = eventually(complete, within=30)
    assert found is not None
    assert min(found.processes("tensormux_process_cpu_seconds_total").values()) > 0
    memory = found.processes("tensormux_process_resident_memory_bytes")
    assert set(memory) == everybody and 1 << 20 < min(memory.values()) < max(memory.values()) < 1 << 34
    # This one's, and the scrape's own.
    connections = found.processes("tensormux_connections")
    assert set(connections) == {"frontend-0", "frontend-1"} and sum(connections.values()) >= 2
    outstanding = found.processes("tensormux_outstanding_requests")
    assert set(outstanding) == everybody - {"control"} and set(outstanding.values()) == {0}


def test_requests_under_way_late_and_cancelled(measured: Server, rpc: Grpc) -> None:
    before = scrape(measured.rest_port)
    request = predict_request("slow", {"seconds": [BUSY_SECONDS]})
    # Most of them wait in the workers until they are cancelled.
    calls = [rpc.prediction.Predict.future(request, timeout=60) for _ in range(8 * len(os.sched_getaffinity(0)))]
    late = rpc.prediction.Predict.future(request, timeout=0.4)

    def in_flight() -> Scraped | None:
        now = scrape(measured.rest_port)
        return now if now.of("tensormux_in_flight_requests", model_name="slow") >= len(calls) else None

    outstanding = eventually(in_flight, within=10).processes("tensormux_outstanding_requests")
    assert sum(outstanding[name] for name in ("worker-0", "worker-1")) in (len(calls), len(calls) + 1)
    assert sum(outstanding[name] for name in ("frontend-0", "frontend-1")) in (len(calls), len(calls) + 1)
    with raises("DEADLINE_EXCEEDED"):
        late.result()
    for call in calls:
        assert call.cancel()

    def counted() -> Scraped | None:
        after = scrape(measured.rest_port)
        return after if after.of("tensormux_cancelled_requests_total", model_name="slow") == len(calls) else None

    after = eventually(counted, within=10)
    assert growth(before, after, "tensormux_expired_requests_total") == {("slow",): 1}
    assert growth(before, after) == {("slow", "CANCELLED"): len(calls), ("slow", "DEADLINE_EXCEEDED"): 1}


def test_other_methods_and_queries(measured: Server) -> None:
    url = f"http://127.0.0.1:{measured.rest_port}{PATH}"
    answer = requests.post(url, timeout=CALL_SECONDS)
    assert answer.status_code == 200 and "# TYPE :tensorflow:serving:request_count counter\n" in answer.text
    answer = requests.get(f"{url}?x=1", timeout=CALL_SECONDS)
    assert (answer.status_code, answer.text) == (400, f"Unexpected path: {PATH}?x=1. Should be {PATH}")


def test_many_scrapes_at_once(measured: Server) -> None:
    with contextlib.ExitStack() as stack:
        address = ("127.0.0.1", measured.rest_port)
        socks = [stack.enter_context(socket.create_connection(address, CALL_SECONDS)) for _ in range(40)]
        for sock in socks:
            sock.sendall(f"GET {PATH} HTTP/1.1\r\nHost: x\r\nConnection: close\r\n\r\n".encode())
        for sock in socks:
            text = stack.enter_context(sock.makefile("rb")).read()
            assert text.startswith(b"HTTP/1.1 200 ") and text.endswith(b"\n")


@pytest.mark.parametrize("role", ["worker", "frontend"])
def test_no_counter_falls_when_a_process_is_killed(measured: Server, rpc: Grpc, role: str) -> None:
    by_new_connections(measured, lambda rest: rest.predict("half_plus_two", [2.0]))
    # Both workers have run something: calls at the same time go to both.
    request = predict_request("slow", {"seconds": [0.1]})
    for call in [rpc.prediction.Predict.future(request, timeout=30) for _ in range(8)]:
        assert call.result().outputs["rounds"].int64_val[0] > 0
    before = scrape(measured.rest_port)
    victim = measured.pids(role)[0]
    os.kill(victim, signal.SIGKILL)
    eventually(lambda: victim not in measured.pids(role), within=10)

    def again() -> Scraped:
        after = scrape(measured.rest_port)
        never_falls(before, after)
        return after

    after = eventually(again, within=10)
    for key in counts(before):
        assert counts(after)[key] == counts(before)[key]

    def is_back() -> bool:
        return len(again().processes("tensormux_process_resident_memory_bytes")) == 5

    eventually(is_back, within=BACK_SECONDS)
    never_falls(before, again())


def test_metrics_that_are_off(server: Server) -> None:
    answer = requests.get(f"http://127.0.0.1:{server.rest_port}{PATH}", timeout=CALL_SECONDS)
    assert (answer.status_code, answer.json()) == (404, {"error": f"Not Found: {PATH}"})


def test_batches(tmp_path: Path, model_path: Callable[[str], Path]) -> None:
    """Four requests at the same time fill a batch; a single one is padded to a batch of two."""
    parameters = tmp_path / "batching.config"
    parameters.write_text(
        "max_batch_size { value: 4 } batch_timeout_micros { value: 200000 } num_batch_threads { value: 2 }\n"
        "allowed_batch_sizes: 2 allowed_batch_sizes: 4"
    )
    monitoring = tmp_path / "monitoring.config"
    monitoring.write_text('prometheus_config { enable: true path: "/v1/metrics" }')
    flags = (
        "--model_name=half_plus_two",
        f"--model_base_path={model_path('half_plus_two').parent}",
        "--enable_batching",
        f"--batching_parameters_file={parameters}",
        f"--monitoring_config_file={monitoring}",
    )
    with started(tmp_path / "server", *flags) as server, grpc_client(f"127.0.0.1:{server.grpc_port}") as client:
        url = f"http://127.0.0.1:{server.rest_port}/v1/metrics"
        types = [line for line in requests.get(url, timeout=CALL_SECONDS).text.splitlines() if line.startswith("#")]
        assert f"# TYPE {BATCHING}queuing_latency histogram" in types
        assert not any("padding_size" in line or "_batch_size" in line for line in types)

        request = predict_request("half_plus_two", {"x": [2.0]})
        for number in (4, 1):
            for call in [client.prediction.Predict.future(request, timeout=CALL_SECONDS) for _ in range(number)]:
                assert call.result().outputs["y"].float_val[0] == 3.0
        text = requests.get(url, timeout=CALL_SECONDS).text
    lines = set(text.splitlines())
    where = 'model_name="half_plus_two",signature="serving_default",device="cpu:0"'
    assert {
        f'{BATCHING}queuing_latency_count{{thread_pool_name=""}} 5',
        f"{BATCHING}wrapped_run_count{{}} 2",
        f'{BATCHING}padding_size_sum{{execution_batch_size="2"}} 1',
        f'{BATCHING}padding_size_count{{execution_batch_size="2"}} 1',
        f'{BATCHING}padding_size_sum{{execution_batch_size="4"}} 0',
        f"{BATCHING}input_batch_size_sum{{}} 5",
        f"{BATCHING}input_batch_size_count{{}} 5",
        f"{BATCHING}processed_batch_size_sum{{}} 6",
        f"{BATCHING}processed_batch_size_count{{}} 2",
        f"tensormux_queue_time_microseconds_count{{{where}}} 5",
        f"tensormux_batch_requests_sum{{{where}}} 5",
        f"tensormux_batch_requests_count{{{where}}} 2",
        f"tensormux_padded_rows_total{{{where}}} 1",
        f'{RUNTIME}_count{{model_name="half_plus_two",API="Predict",runtime="TF1"}} 5',
        f'{COUNT}{{model_name="half_plus_two",status="OK"}} 5',
    } <= lines
