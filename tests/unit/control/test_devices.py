from pathlib import Path

import pytest

from control.devices import Device, parse_devices
from protos.errors import Code, ServingError

CPU = Device("cpu:0", "-1")


@pytest.fixture
def two_gpus(tmp_path: Path) -> str:
    for name in ("0000:01:00.0", "0000:02:00.0"):
        (tmp_path / "gpus" / name).mkdir(parents=True)
    return str(tmp_path / "gpus")


@pytest.mark.parametrize(
    ("spec", "env", "expected"),
    [
        ("", {}, [("gpu:0", "0"), ("gpu:1", "1")]),
        ("all", {}, [("gpu:0", "0"), ("gpu:1", "1")]),
        ("1", {}, [("gpu:1", "1")]),
        ("1, 0", {}, [("gpu:1", "1"), ("gpu:0", "0")]),
        ("cpu", {}, [("cpu:0", "-1")]),
        ("cpu:2", {}, [("cpu:0", "-1"), ("cpu:1", "-1")]),
        ("0,cpu:1,cpu", {}, [("gpu:0", "0"), ("cpu:0", "-1"), ("cpu:1", "-1")]),
        ("", {"CUDA_VISIBLE_DEVICES": "7,GPU-ab12,3"}, [("gpu:0", "7"), ("gpu:1", "GPU-ab12"), ("gpu:2", "3")]),
        ("2,1", {"CUDA_VISIBLE_DEVICES": "7,GPU-ab12,3"}, [("gpu:2", "3"), ("gpu:1", "GPU-ab12")]),
        ("all", {"CUDA_VISIBLE_DEVICES": "1,-1,0"}, [("gpu:0", "1")]),
        ("", {"CUDA_VISIBLE_DEVICES": "-1"}, [("cpu:0", "-1")]),
        ("", {"CUDA_VISIBLE_DEVICES": ""}, [("cpu:0", "-1")]),
    ],
)
def test_devices_on_a_box_with_two_gpus(
    two_gpus: str, spec: str, env: dict[str, str], expected: list[tuple[str, str]]
) -> None:
    assert parse_devices(spec, env, gpu_folder=two_gpus) == tuple(Device(*pair) for pair in expected)


def test_without_gpus_the_cpu_is_the_default(tmp_path: Path) -> None:
    nowhere = str(tmp_path / "none")
    assert parse_devices("", {}, gpu_folder=nowhere) == (CPU,)
    assert parse_devices(" cpu ", {}, gpu_folder=nowhere) == (CPU,)


def test_a_gpu_that_the_driver_does_not_list_is_taken_at_its_word(tmp_path: Path) -> None:
    assert parse_devices("3", {}, gpu_folder=str(tmp_path / "none")) == (Device("gpu:3", "3"),)


@pytest.mark.parametrize(
    ("spec", "env", "text"),
    [
        ("2", {}, "there is no GPU 2; found 2"),
        ("0", {"CUDA_VISIBLE_DEVICES": "-1"}, "there is no GPU 0; found 0"),
        ("all", {"CUDA_VISIBLE_DEVICES": ""}, "no GPU found"),
        ("0,0", {}, "a GPU is listed twice"),
        ("-1", {}, "expected all, or a list"),
        ("gpu", {}, "expected all, or a list"),
        ("all,cpu", {}, "expected all, or a list"),
        ("0,", {}, "expected all, or a list"),
        ("cpu:", {}, "expected all, or a list"),
        ("cpu:0", {}, "must name 1 to 1024 workers; was 0"),
        ("cpu:2000", {}, "must name 1 to 1024 workers; was 2000"),
        ("cpu:1000,cpu:1000", {}, "must name 1 to 1024 workers; was 2000"),
    ],
)
def test_devices_that_are_refused(two_gpus: str, spec: str, env: dict[str, str], text: str) -> None:
    with pytest.raises(ServingError) as refused:
        parse_devices(spec, env, gpu_folder=two_gpus)
    assert refused.value.code == Code.INVALID_ARGUMENT
    assert text in refused.value.message
