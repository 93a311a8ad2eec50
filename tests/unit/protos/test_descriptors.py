"""The `.proto` files: what is committed is what they compile to, and they agree with those clients use."""

import subprocess
import sys
from collections.abc import Iterable, Iterator
from pathlib import Path

import pytest
from google.protobuf import text_format
from google.protobuf.descriptor import FieldDescriptor
from google.protobuf.descriptor_pb2 import (
    DescriptorProto,
    EnumDescriptorProto,
    FieldDescriptorProto,
    FileDescriptorProto,
    FileDescriptorSet,
)
from google.protobuf.descriptor_pool import DescriptorPool

from protos import build
from protos.packages import DESCRIPTORS
from protos.pool import pool, serialized_files
from protos.stubs import stub_text

# Runs in a process of its own, because these modules fill protobuf's default pool. TensorFlow's package is entered
# without running its __init__, which would load all of TensorFlow.
_DUMP_THEIRS = """
import importlib, importlib.util, pathlib, sys, types
from google.protobuf import descriptor_pb2, descriptor_pool

def folder(name):
    spec = importlib.util.find_spec(name)
    assert spec is not None, name + " is not installed"
    return pathlib.Path(list(spec.submodule_search_locations)[0])

tensorflow = types.ModuleType("tensorflow")
tensorflow.__path__ = [str(folder("tensorflow"))]
sys.modules["tensorflow"] = tensorflow
serving = folder("tensorflow_serving")
modules = sorted(serving.rglob("*_pb2.py"))
assert len(modules) >= 20, modules
roots = [".".join(("tensorflow_serving", *m.relative_to(serving).with_suffix("").parts)) for m in modules]
core = "example.example framework.tensor protobuf.meta_graph protobuf.config protobuf.named_tensor protobuf.error_codes"
roots += [f"tensorflow.core.{name}_pb2" for name in core.split()]
roots += ["grpc_health.v1.health_pb2", "grpc_reflection.v1alpha.reflection_pb2"]
found = {}

def visit(name):
    if name not in found:
        file = descriptor_pb2.FileDescriptorProto()
        descriptor_pool.Default().FindFileByName(name).CopyToProto(file)
        for dependency in file.dependency:
            visit(dependency)
        found[name] = file

for root in roots:
    visit(importlib.import_module(root).DESCRIPTOR.name)
sys.stdout.buffer.write(descriptor_pb2.FileDescriptorSet(file=found.values()).SerializeToString())
"""


@pytest.fixture(scope="module")
def fresh() -> dict[str, FileDescriptorProto]:
    return {file.name: file for file in build.compile_set().file}


@pytest.fixture(scope="module")
def theirs() -> dict[str, FileDescriptorProto]:
    done = subprocess.run([sys.executable, "-c", _DUMP_THEIRS], capture_output=True, timeout=120)
    assert done.returncode == 0, done.stderr.decode()
    files = list(FileDescriptorSet.FromString(done.stdout).file)
    for file in files:
        # Python's packages have a name of their own for the folder.
        for prefix in ("grpc_health/", "grpc_reflection/"):
            if file.name.startswith(prefix):
                file.name = file.name.replace("grpc_", "grpc/", 1)
    # grpcio-reflection has no v1, which is v1alpha by another name.
    (alpha,) = (file for file in files if file.package == "grpc.reflection.v1alpha")
    files.append(text_format.Parse(text_format.MessageToString(alpha).replace("v1alpha", "v1"), FileDescriptorProto()))
    return {file.name: file for file in files}


def _messages(prefix: str, messages: Iterable[DescriptorProto]) -> Iterator[tuple[str, DescriptorProto]]:
    for message in messages:
        name = f"{prefix}.{message.name}"
        yield name, message
        yield from _messages(name, message.nested_type)


def _enums(file: FileDescriptorProto) -> Iterator[tuple[str, EnumDescriptorProto]]:
    for enum in file.enum_type:
        yield f"{file.package}.{enum.name}", enum
    for name, message in _messages(file.package, file.message_type):
        for enum in message.enum_type:
            yield f"{name}.{enum.name}", enum


def _facts(file: FileDescriptorProto, in_pool: DescriptorPool) -> set[tuple[object, ...]]:
    """All of a file that is seen on the wire, in JSON or in text."""
    facts: set[tuple[object, ...]] = {("package", file.package), ("syntax", file.syntax)}
    facts |= {("import", name, index in file.public_dependency) for index, name in enumerate(file.dependency)}
    for name, message in _messages(file.package, file.message_type):
        facts.add(("message", name, message.options.map_entry))
        facts |= {("reserved", name, r.start, r.end) for r in message.reserved_range}
        facts |= {("reserved", name, reserved) for reserved in message.reserved_name}
        for field in message.field:
            real_oneof = field.HasField("oneof_index") and not field.proto3_optional
            facts.add(
                (
                    "field",
                    f"{name}.{field.name}",
                    field.number,
                    field.type,
                    field.type_name,
                    field.label,
                    message.oneof_decl[field.oneof_index].name if real_oneof else None,
                    # Generated code keeps a JSON name only if it isn't the usual one; the pool knows them all.
                    in_pool.FindFieldByName(f"{name}.{field.name}").json_name,
                    field.proto3_optional,
                    field.options.packed if field.options.HasField("packed") else None,
                    field.options.deprecated,
                    field.default_value,
                )
            )
    for name, enum in _enums(file):
        facts |= {("value", name, value.name, value.number) for value in enum.value}
        facts |= {("reserved", name, r.start, r.end) for r in enum.reserved_range}
        facts |= {("reserved", name, reserved) for reserved in enum.reserved_name}
        facts.add(("alias", name, enum.options.allow_alias))
    for service in file.service:
        for m in service.method:
            streams = (m.client_streaming, m.server_streaming)
            facts.add(("method", f"{file.package}.{service.name}", m.name, m.input_type, m.output_type, *streams))
    return facts


def test_committed_outputs_are_what_the_sources_compile_to() -> None:
    for path, data in build.outputs().items():
        assert path.read_bytes() == data, f"{path.name}: run python -m protos.build"


def test_build_is_deterministic_and_check_tells_stale_files(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    first = build.outputs()
    assert first == build.outputs()
    copies = {tmp_path / path.name: data for path, data in first.items()}
    monkeypatch.setattr(build, "outputs", lambda: copies)
    assert build.main(["--check"]) == 1
    assert "descriptors.binpb is out of date" in capsys.readouterr().err
    assert build.main([]) == 0
    assert build.main(["--check"]) == 0
    assert all(path.read_bytes() == data for path, data in copies.items())
    assert build.main(["--what"]) == 2


def test_every_source_is_in_the_pool(fresh: dict[str, FileDescriptorProto]) -> None:
    names = {FileDescriptorProto.FromString(data).name for data in serialized_files()}
    assert names == set(fresh)
    assert names == {*build.sources(), "google/protobuf/any.proto", "google/protobuf/wrappers.proto"}
    for name in names:
        assert pool.FindFileByName(name).name == name


def test_agrees_with_tensorflow_and_tensorflow_serving_api(
    fresh: dict[str, FileDescriptorProto], theirs: dict[str, FileDescriptorProto]
) -> None:
    missing = set(theirs) - set(fresh)
    assert not missing
    assert len([name for name in theirs if name.startswith("tensorflow_serving/")]) >= 20
    their_pool = DescriptorPool()
    for file in theirs.values():
        their_pool.Add(file)
    compared = 0
    for name, file in theirs.items():
        if name.startswith("google/protobuf/"):
            continue
        wanted, ours = _facts(file, their_pool), _facts(fresh[name], pool)
        assert ours == wanted, f"{name}: missing {wanted - ours}, surplus {ours - wanted}"
        compared += len(wanted)
    assert compared > 1000


# Messages that tensorflow-serving-api leaves out: number, name and type of every field, as in TensorFlow Serving.
_UNPUBLISHED = {
    "SSLConfig": "1 server_key string, 2 server_cert string, 3 custom_ca string, 4 client_verify bool",
    "PrometheusConfig": "1 enable bool, 2 path string",
    "MonitoringConfig": "1 prometheus_config tensorflow.serving.PrometheusConfig",
    "BatchingParameters": """
        1 max_batch_size google.protobuf.Int64Value, 2 batch_timeout_micros google.protobuf.Int64Value,
        3 max_enqueued_batches google.protobuf.Int64Value, 4 num_batch_threads google.protobuf.Int64Value,
        5 thread_pool_name google.protobuf.StringValue, 6 allowed_batch_sizes int64*, 7 pad_variable_length_inputs bool,
        8 enable_large_batch_splitting google.protobuf.BoolValue,
        9 max_execution_batch_size google.protobuf.Int64Value""",
    "SessionBundleConfig": """
        1 session_target string, 2 session_config tensorflow.ConfigProto,
        3 batching_parameters tensorflow.serving.BatchingParameters,
        4 session_run_load_threadpool_index google.protobuf.Int32Value,
        5 experimental_transient_ram_bytes_during_load uint64, 6 saved_model_tags string*,
        7 in_graph_batching_parameters tensorflow.BatchingOptions,
        778 experimental_fixed_input_tensors tensorflow.NamedTensorProto*, 779 enable_model_warmup bool,
        780 model_warmup_options tensorflow.serving.ModelWarmupOptions, 781 enable_session_metadata bool,
        782 remove_unused_fields_from_bundle_metagraph bool, 783 prefer_tflite_model bool,
        784 resource_estimation_uses_validation_result bool, 785 num_tflite_interpreters int32,
        786 num_tflite_interpreters_per_pool int32, 787 num_tflite_pools int32,
        788 wrap_session_with_no_threading_params bool, 789 enable_per_model_batching_params bool,
        790 enable_saved_model_config bool, 791 mixed_precision string""",
    "ModelWarmupOptions": """
        1 num_request_iterations google.protobuf.Int32Value, 2 num_model_warmup_threads google.protobuf.Int32Value,
        3 model_name string, 4 model_version int64, 5 enable_all_batch_sizes_warmup bool""",
    "SavedModelBundleSourceAdapterConfig": "1000 legacy_config tensorflow.serving.SessionBundleConfig",
    "ThreadPoolFactoryConfig": "1 thread_pool_factory_config google.protobuf.Any",
    "StaticStoragePathSourceConfig": "1 servable_name string, 2 version_num int64, 3 version_path string",
    "Resource": "1 device string, 2 device_instance google.protobuf.UInt32Value, 3 kind string",
    "ResourceAllocation": "1 resource_quantities tensorflow.serving.ResourceAllocation.Entry*",
    "ResourceAllocation.Entry": "1 resource tensorflow.serving.Resource, 2 quantity uint64",
    "internal.SerializedExampleList": "1 examples bytes*",
    "internal.SerializedExampleListWithContext": "1 examples bytes*, 2 context bytes",
    "internal.SerializedInput": """
        1 example_list tensorflow.serving.internal.SerializedExampleList,
        2 example_list_with_context tensorflow.serving.internal.SerializedExampleListWithContext""",
    "tools.RemoteOpRemapConfig": """
        1 model_name_remap tensorflow.serving.tools.RemoteOpRemapConfig.ModelNameRemapEntry*,
        2 target_address_remap tensorflow.serving.tools.RemoteOpRemapConfig.TargetAddressRemapEntry*,
        4 propagate_version bool, 5 propagate_model_name bool, 6 backend_model_name_to_target_address_remap
        tensorflow.serving.tools.RemoteOpRemapConfig.BackendModelNameToTargetAddressRemapEntry*""",
}


@pytest.mark.parametrize("name", _UNPUBLISHED)
def test_fields_of_messages_without_a_published_descriptor(name: str) -> None:
    wanted = {tuple(row.split()) for row in _UNPUBLISHED[name].split(",")}
    fields = pool.FindMessageTypeByName(f"tensorflow.serving.{name}").fields
    assert {(str(field.number), field.name, _kind(field)) for field in fields} == wanted


def _kind(field: FieldDescriptor) -> str:
    scalar = FieldDescriptorProto.Type.Name(field.type).removeprefix("TYPE_").lower()
    kind = field.message_type.full_name if field.message_type is not None else scalar
    return f"{kind}*" if field.is_repeated else kind


def test_every_message_is_checked_one_way_or_the_other(
    fresh: dict[str, FileDescriptorProto], theirs: dict[str, FileDescriptorProto]
) -> None:
    unpublished = {
        name.removeprefix("tensorflow.serving.")
        for file in fresh.values()
        if file.name not in theirs
        for name, message in _messages(file.package, file.message_type)
        if not message.options.map_entry
    }
    assert unpublished == set(_UNPUBLISHED)


def test_cut_off_or_foreign_descriptors_are_refused(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    from protos import pool as module

    whole = DESCRIPTORS.read_bytes()
    path = tmp_path / "damaged"
    monkeypatch.setattr(module, "DESCRIPTORS", path)
    for damaged in (whole[:-1], whole[:1], whole[:2], whole + b"\x0a", whole + b"\x12\x00"):
        path.write_bytes(damaged)
        with pytest.raises(ValueError, match="damaged"):
            module.serialized_files()


def test_stub_refuses_names_that_would_hide_each_other() -> None:
    def one(file: str, package: str) -> FileDescriptorProto:
        return FileDescriptorProto(name=file, package=package, message_type=[DescriptorProto(name="M")])

    with pytest.raises(ValueError, match="same short name"):
        stub_text(FileDescriptorSet(file=[one("a", "tensorflow"), one("b", "tensorflow.serving")]))
    with pytest.raises(ValueError, match="doesn't search"):
        stub_text(FileDescriptorSet(file=[one("a", "elsewhere")]))
