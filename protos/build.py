"""Compiles the `.proto` files of this folder: `python -m protos.build [--check]`, a tool for development.

Writes `descriptors.binpb`, one `FileDescriptorSet` of all files and what they import, and `public.pyi`, the types of
`protos.public`. Both depend on the `.proto` files only: files come in order of their names after their
dependencies, and the well-known types lose the options by which other languages name their packages, because
these differ between versions of the compiler.
"""

from __future__ import annotations

import subprocess
import sys
import tempfile
from collections.abc import Sequence
from pathlib import Path

from google.protobuf.descriptor_pb2 import FileDescriptorSet

from protos.packages import DESCRIPTORS
from protos.stubs import stub_text

ROOT = Path(__file__).parent
STUB = ROOT / "public.pyi"


def sources() -> list[str]:
    """Paths of the `.proto` files as they are imported, sorted."""
    return sorted(path.relative_to(ROOT).as_posix() for path in ROOT.rglob("*.proto"))


def compile_set() -> FileDescriptorSet:
    """Compile all `.proto` files.

    Raises:
        RuntimeError: protoc refused them; it has said why on stderr.
    """
    with tempfile.TemporaryDirectory() as folder:
        out = Path(folder) / "set.binpb"
        # A process of its own: the compiler brings a protobuf library that does not get on with TensorFlow's.
        command = [sys.executable, "-m", "grpc_tools.protoc", f"-I{ROOT}", "--include_imports"]
        done = subprocess.run([*command, f"--descriptor_set_out={out}", *sources()], check=False, timeout=120)
        if done.returncode != 0:
            raise RuntimeError(f"protoc failed with status {done.returncode}")
        compiled = FileDescriptorSet.FromString(out.read_bytes())
    for file in compiled.file:
        if file.name.startswith("google/protobuf/"):
            file.ClearField("options")
    return compiled


def outputs() -> dict[Path, bytes]:
    """What the committed files should contain.

    Raises:
        RuntimeError: the `.proto` files don't compile.
        ValueError: two messages or enums share a short name, or are in a package that `public` doesn't search.
    """
    compiled = compile_set()
    return {
        DESCRIPTORS: compiled.SerializeToString(deterministic=True),
        STUB: stub_text(compiled).encode(),
    }


def main(arguments: Sequence[str] | None = None) -> int:
    """Write the outputs, or with `--check` say which are out of date; returns the exit status."""
    arguments = sys.argv[1:] if arguments is None else arguments
    if arguments not in ([], ["--check"]):
        print("usage: python -m protos.build [--check]", file=sys.stderr)
        return 2
    stale = {path: data for path, data in outputs().items() if not path.exists() or path.read_bytes() != data}
    for path, data in stale.items():
        if arguments:
            print(f"{path.name} is out of date: run python -m protos.build", file=sys.stderr)
        else:
            path.write_bytes(data)
    return 1 if arguments and stale else 0


if __name__ == "__main__":
    sys.exit(main())
