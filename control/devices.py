"""Which devices get a worker: `--devices`, without asking TensorFlow (importing it in control would cost seconds).

A worker is pinned by its `CUDA_VISIBLE_DEVICES`: one GPU, or none.
"""

from __future__ import annotations

import os
import re
from collections.abc import Mapping
from dataclasses import dataclass

from protos.errors import ServingError, invalid_argument

_MAX_WORKERS = 1024
_CPU = re.compile(r"cpu(?::([0-9]{1,6}))?")
_INDEX = re.compile(r"[0-9]{1,6}")
_CUDA_ENTRY = re.compile(r"[0-9]+|(GPU|MIG)-.+")
_NVIDIA_GPUS = "/proc/driver/nvidia/gpus"


@dataclass(frozen=True)
class Device:
    """What one worker is pinned to: a name for people, and the worker's `CUDA_VISIBLE_DEVICES`."""

    name: str
    cuda_visible_devices: str


def parse_devices(spec: str, env: Mapping[str, str], *, gpu_folder: str = _NVIDIA_GPUS) -> tuple[Device, ...]:
    """One device for each worker, in the order of `spec`.

    Args:
        spec: `all` GPUs, or a list of `cpu`, `cpu:N` (N workers) and GPU numbers, separated by commas; empty means
            `all` if there are GPUs and `cpu` otherwise. Numbers count the entries of `CUDA_VISIBLE_DEVICES` when that
            is set.
        env: where `CUDA_VISIBLE_DEVICES` is looked up.
        gpu_folder: where the NVIDIA driver lists the GPUs of the box.

    Raises:
        ServingError: INVALID_ARGUMENT for a list that cannot be read, a GPU that isn't there or is listed twice, or
            more than 1024 workers.
    """
    gpus = visible_gpus(env, gpu_folder=gpu_folder)
    spec = spec.strip() or ("all" if gpus else "cpu")
    if spec == "all":
        if not gpus:
            raise invalid_argument("--devices=all: no GPU found")
        return tuple(_gpu(index, visible) for index, visible in enumerate(gpus))
    devices: list[Device] = []
    cpus = 0
    for item in (part.strip() for part in spec.split(",")):
        if match := _CPU.fullmatch(item):
            count = int(match[1] or 1)
            _check_count(spec, len(devices) + count)
            devices.extend(Device(f"cpu:{cpus + i}", "-1") for i in range(count))
            cpus += count
        elif _INDEX.fullmatch(item):
            devices.append(_numbered(int(item), gpus, env))
        else:
            raise _unreadable(spec)
    _check_count(spec, len(devices))
    names = [device.name for device in devices]
    if len(set(names)) != len(names):
        raise invalid_argument(f"--devices={spec}: a GPU is listed twice")
    return tuple(devices)


def visible_gpus(env: Mapping[str, str], *, gpu_folder: str = _NVIDIA_GPUS) -> list[str]:
    """What `CUDA_VISIBLE_DEVICES` would say for each GPU that this process may use, in CUDA's order."""
    visible = env.get("CUDA_VISIBLE_DEVICES")
    if visible is None:
        try:
            return [str(index) for index in range(len(os.listdir(gpu_folder)))]
        except OSError:
            return []
    entries: list[str] = []
    for entry in (part.strip() for part in visible.split(",")):
        # CUDA itself stops reading at the first entry that names no device.
        if not _CUDA_ENTRY.fullmatch(entry):
            break
        entries.append(entry)
    return entries


def _numbered(index: int, gpus: list[str], env: Mapping[str, str]) -> Device:
    if index < len(gpus):
        return _gpu(index, gpus[index])
    # Some boxes (WSL) have GPUs and don't list them: then a number that was asked for is taken at its word.
    if gpus or "CUDA_VISIBLE_DEVICES" in env:
        raise invalid_argument(f"--devices: there is no GPU {index}; found {len(gpus)}")
    return _gpu(index, str(index))


def _gpu(index: int, visible: str) -> Device:
    return Device(f"gpu:{index}", visible)


def _check_count(spec: str, count: int) -> None:
    if not 1 <= count <= _MAX_WORKERS:
        raise invalid_argument(f"--devices={spec}: must name 1 to {_MAX_WORKERS} workers; was {count}")


def _unreadable(spec: str) -> ServingError:
    return invalid_argument(f"--devices={spec}: expected all, or a list such as cpu, cpu:2 or 0,1")
