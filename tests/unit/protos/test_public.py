"""Message classes of the private pool."""

import ast
import json
import keyword
import subprocess
import sys
from pathlib import Path

import pytest
from google.protobuf import descriptor_pool, json_format, text_format
from google.protobuf.message import Message

from protos import public
from protos.packages import PACKAGES
from protos.pool import enum_wrapper, message_class, pool

_ROOT = Path(__file__).parents[3]

_NAMES = """
PredictRequest PredictResponse ModelSpec GetModelMetadataRequest GetModelMetadataResponse SignatureDefMap
GetModelStatusRequest GetModelStatusResponse ModelVersionStatus StatusProto ClassificationRequest
ClassificationResponse RegressionRequest RegressionResponse MultiInferenceRequest MultiInferenceResponse Input
ReloadConfigRequest ReloadConfigResponse ModelServerConfig ModelConfig FileSystemStoragePathSourceConfig
BatchingParameters SSLConfig MonitoringConfig PlatformConfigMap PredictionLog SessionRunRequest SessionRunResponse
TensorProto TensorShapeProto SignatureDef TensorInfo MetaGraphDef Example Features Feature ConfigProto RunOptions Any
Int64Value StringValue BoolValue SavedModelBundleSourceAdapterConfig ThreadPoolFactoryConfig SerializedInput
RemoteOpRemapConfig
"""


@pytest.mark.parametrize("name", _NAMES.split())
def test_name_is_a_message_of_the_private_pool(name: str) -> None:
    found = getattr(public, name)
    assert found is getattr(public, name)
    assert found.DESCRIPTOR.name == name
    assert found.DESCRIPTOR.full_name.rpartition(".")[0] in PACKAGES
    assert found.DESCRIPTOR.file.pool is pool
    assert found is message_class(found.DESCRIPTOR.full_name)
    assert found.FromString(found().SerializeToString()) == found()


@pytest.mark.parametrize("name", ["NoSuchMessage", "predict_request", "_private", "tensorflow", ""])
def test_other_names_are_attribute_errors(name: str) -> None:
    with pytest.raises(AttributeError, match="no message or enum"):
        getattr(public, name)


def test_unknown_full_names_are_key_errors() -> None:
    with pytest.raises(KeyError):
        message_class("tensorflow.serving.NoSuchMessage")
    with pytest.raises(KeyError):
        enum_wrapper("tensorflow.serving.PredictRequest")


def test_enums_have_names_and_numbers() -> None:
    assert public.DataType.DT_FLOAT == 1
    assert public.DataType.Name(7) == "DT_STRING"
    assert public.Code.Value("NOT_FOUND") == 5
    assert public.ModelVersionStatus.AVAILABLE == 30
    assert public.ModelVersionStatus.State.Name(50) == "END"


def test_predict_request_on_the_wire() -> None:
    request = public.PredictRequest(output_filter=["y"])
    request.model_spec.name = "m"
    request.model_spec.version.value = 3
    tensor = request.inputs["x"]
    tensor.dtype = public.DataType.DT_FLOAT
    tensor.tensor_shape.dim.add(size=1)
    tensor.float_val.append(1.0)
    tensor_bytes = b"\x08\x01\x12\x04\x12\x02\x08\x01\x2a\x04\x00\x00\x80\x3f"
    entry = b"\x0a\x01x" + b"\x12" + bytes([len(tensor_bytes)]) + tensor_bytes
    spec = b"\x0a\x01m\x12\x02\x08\x03"
    expected = b"\x0a" + bytes([len(spec)]) + spec + b"\x12" + bytes([len(entry)]) + entry + b"\x1a\x01y"
    assert request.SerializeToString() == expected
    assert public.PredictRequest.FromString(expected) == request


def test_handshake_of_newer_clients_parses() -> None:
    request = public.PredictRequest.FromString(b"\x3a\x04\x6a\x02\x08\x05")
    assert request.request_options.HasField("handshake")
    assert request.request_options.handshake.estimated_payload_bytes == 5


def test_version_choice_is_a_oneof_with_presence() -> None:
    spec = public.ModelSpec(version_label="")
    assert spec.WhichOneof("version_choice") == "version_label"
    spec.version.value = 0
    assert spec.WhichOneof("version_choice") == "version"


def test_status_keeps_its_json_names() -> None:
    status = public.StatusProto(error_code=public.Code.NOT_FOUND, error_message="gone")
    assert json.loads(json_format.MessageToJson(status)) == {"error_code": "NOT_FOUND", "error_message": "gone"}


def test_any_resolves_in_the_pool_only() -> None:
    signatures = public.SignatureDefMap()
    signatures.signature_def["serving_default"].method_name = "tensorflow/serving/predict"
    response = public.GetModelMetadataResponse()
    response.metadata["signature_def"].Pack(signatures)
    packed = response.metadata["signature_def"]
    assert packed.type_url == "type.googleapis.com/tensorflow.serving.SignatureDefMap"
    unpacked = public.SignatureDefMap()
    assert packed.Is(public.SignatureDefMap.DESCRIPTOR)
    assert packed.Unpack(unpacked)
    assert unpacked == signatures

    as_json = json_format.MessageToDict(response, descriptor_pool=pool)
    assert as_json["metadata"]["signature_def"]["signatureDef"]["serving_default"] == {
        "methodName": "tensorflow/serving/predict"
    }
    assert json_format.ParseDict(as_json, public.GetModelMetadataResponse(), descriptor_pool=pool) == response
    as_text = text_format.MessageToString(response, descriptor_pool=pool)
    assert "[type.googleapis.com/tensorflow.serving.SignatureDefMap]" in as_text
    assert text_format.Parse(as_text, public.GetModelMetadataResponse(), descriptor_pool=pool) == response


def test_stub_says_what_there_is_at_run_time() -> None:
    stub = ast.parse(Path(public.__file__).with_suffix(".pyi").read_text())
    checked = 0
    for item in stub.body:
        if isinstance(item, ast.ClassDef) and not item.name.startswith("_"):
            checked += _check_class(item, getattr(public, item.name))
        elif isinstance(item, ast.AnnAssign | ast.FunctionDef):
            assert hasattr(public, item.target.id if isinstance(item, ast.AnnAssign) else item.name)
    assert checked > 1000


def _check_class(stub: ast.ClassDef, message_class: type[Message]) -> int:
    """Compare members of a stub with those of the class; returns how many there are."""
    fields = set()
    checked = 0
    for item in stub.body:
        if isinstance(item, ast.ClassDef):
            if not item.name.startswith("_"):
                checked += _check_class(item, getattr(message_class, item.name))
            continue
        name = item.target.id if isinstance(item, ast.AnnAssign) else item.name
        assert hasattr(message_class(), name), f"{stub.name}.{name}"
        checked += 1
        is_property = isinstance(item, ast.FunctionDef) and bool(item.decorator_list)
        if is_property or (isinstance(item, ast.AnnAssign) and "ClassVar" not in ast.unparse(item.annotation)):
            fields.add(name)
    assert fields == {name for name in message_class.DESCRIPTOR.fields_by_name if not keyword.iskeyword(name)}
    return checked


def test_services_are_described() -> None:
    service = pool.FindServiceByName("tensorflow.serving.PredictionService")
    assert [m.name for m in service.methods] == ["Classify", "Regress", "Predict", "MultiInference", "GetModelMetadata"]
    assert service.methods_by_name["Predict"].input_type is public.PredictRequest.DESCRIPTOR
    models = pool.FindServiceByName("tensorflow.serving.ModelService")
    assert [m.name for m in models.methods] == ["GetModelStatus", "HandleReloadConfigRequest"]


def test_default_pool_is_left_alone() -> None:
    assert public.PredictRequest.DESCRIPTOR.file.pool is not descriptor_pool.Default()
    code = """
from protos import public
public.PredictRequest, public.TensorProto
from google.protobuf import descriptor_pool
try:
    descriptor_pool.Default().FindFileByName("tensorflow_serving/apis/predict.proto")
except KeyError:
    print("absent")
"""
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, timeout=60, cwd=_ROOT)
    assert (done.stdout, done.stderr) == ("absent\n", "")


_COST = """
import sys, time
def rss_mb():
    with open("/proc/self/statm") as file:
        return int(file.read().split()[1]) * 4096 / 1e6
import typing, pathlib, re  # the price of any program of ours
before, start = rss_mb(), time.process_time()
import protos.public
print((time.process_time() - start) * 1e3, rss_mb() - before)
heavy = {"tensorflow", "numpy", "grpc", "grpc_tools", "google.protobuf.descriptor_pb2", "json"} & set(sys.modules)
assert not heavy, heavy
"""


@pytest.mark.skipif(not Path("/proc/self/statm").exists(), reason="reads /proc")
def test_import_is_cheap() -> None:
    costs = []
    for _ in range(5):
        done = subprocess.run([sys.executable, "-c", _COST], capture_output=True, text=True, timeout=60, cwd=_ROOT)
        assert done.returncode == 0, done.stderr
        costs.append([float(part) for part in done.stdout.split()])
    # About 20 ms and 6 MB, most of it protobuf's own; the limit for time leaves room for a busy machine.
    assert min(cost[0] for cost in costs) < 60
    assert min(cost[1] for cost in costs) < 15
