import pytest

from bench import h2load
from bench.generator import GeneratorFailed
from bench.h2load import Summary

OUTPUT = """\
finished in 2.00s, 4198.00 req/s, 665.64KB/s
requests: 8396 total, 8460 started, 8396 done, 8395 succeeded, 1 failed, 2 errored, 3 timeout
status codes: 8395 2xx, 0 3xx, 0 4xx, 1 5xx
traffic: 1.30MB (1363223) total, 25.18KB (25788) headers (space savings 96.21%), 860.92KB (881580) data
                     min         max         mean         sd        +/- sd
time for request:     1.08ms     25.58ms     15.14ms      3.65ms    72.44%
"""


def test_summary():
    assert h2load.parse_summary(OUTPUT) == Summary(
        done=8396, succeeded=8395, failed=1, errored=2, timeout=3, data_bytes=881580
    )


@pytest.mark.parametrize("text", ["", "starting benchmark...\n", OUTPUT.split("traffic")[0]])
def test_no_summary(text):
    with pytest.raises(GeneratorFailed):
        h2load.parse_summary(text)


@pytest.mark.parametrize(
    ("done", "data_bytes", "http_failures", "ok", "problem"),
    [
        (10, 1000, 0, 10, ""),
        (10, 1200, 0, 10, ""),  # two more were under way at the end
        (10, 1050, 0, 10, ""),
        (10, 999, 0, 9, "1 of 10 answers were gRPC errors"),
        (10, 700, 0, 7, "3 of 10 answers were gRPC errors"),
        (10, 0, 0, 0, "10 of 10 answers were gRPC errors"),
        (10, 1201, 0, 10, "201 bytes longer"),
        (10, 1000, 2, 8, "2 requests failed in HTTP"),
        (0, 0, 0, 0, "no request was answered"),
    ],
)
def test_good_answers_are_counted_by_their_bytes(done, data_bytes, http_failures, ok, problem):
    summary = Summary(done, done - http_failures, http_failures, 0, 0, data_bytes)
    count, text = h2load.count_ok(summary, reply_bytes=100, in_flight=2)
    assert count == ok
    assert problem in text
    assert bool(text) == bool(problem)


def test_latencies_are_those_of_answered_requests():
    log = "1795352128797112\t200\t5461\n1795352128797216\t-1\t1\n1795352128797114\t200\t695\n"
    assert h2load.parse_latencies(log).tolist() == [695, 5461]
    assert h2load.parse_latencies("").tolist() == []


@pytest.mark.parametrize("log", ["1\t200\n", "1\t200\tx\n"])
def test_a_broken_log(log):
    with pytest.raises(GeneratorFailed):
        h2load.parse_latencies(log)
