"""Server reflection: with grpcio-reflection's client, and question by question."""

from __future__ import annotations

import queue
from collections.abc import Callable, Iterator, Sequence
from pathlib import Path
from typing import Any

import grpc
import pytest
from google.protobuf.descriptor_pb2 import DescriptorProto, FieldDescriptorProto, FileDescriptorProto
from google.protobuf.descriptor_pool import DescriptorPool
from google.protobuf.message_factory import GetMessageClass
from grpc_reflection.v1alpha.proto_reflection_descriptor_database import ProtoReflectionDescriptorDatabase

from frontend.grpc.reflection import PATHS, Index
from protos import public
from protos.errors import Code, ServingError
from protos.pool import message_class, pool, serialized_files
from tests.catalogs import model, version
from tests.front import Front, opened

SERVICES = [
    "grpc.reflection.v1.ServerReflection",
    "grpc.reflection.v1alpha.ServerReflection",
    "tensorflow.serving.ModelService",
    "tensorflow.serving.PredictionService",
]
Request, Extension = public.ServerReflectionRequest, public.ExtensionRequest
Ask = Callable[[Any], Any]


@pytest.fixture(scope="module")
def front(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Front]:
    with opened(tmp_path_factory.mktemp("front"), grpc_health=True) as front:
        front.show(model("m", version(1)))
        yield front


@pytest.fixture(params=["v1", "v1alpha"])
def ask(front: Front, request: pytest.FixtureRequest) -> Iterator[Ask]:
    """Puts questions on one call."""
    path = f"/grpc.reflection.{request.param}.ServerReflection/ServerReflectionInfo"
    answer_class = message_class(f"grpc.reflection.{request.param}.ServerReflectionResponse")
    questions: queue.Queue[Any] = queue.Queue()
    with front.client() as channel:
        call = channel.stream_stream(path, lambda m: m.SerializeToString(), answer_class.FromString)(
            iter(questions.get, None), timeout=30
        )

        def put(question: Any) -> Any:
            questions.put(question)
            return next(call)

        yield put
        questions.put(None)
        assert list(call) == [] and call.code() is grpc.StatusCode.OK


def names(answer: Any) -> list[str]:
    files = answer.file_descriptor_response.file_descriptor_proto
    return [FileDescriptorProto.FromString(data).name for data in files]


# --- a client that knows nothing else --------------------------------------------------------------------------------


def test_a_call_made_of_reflection_alone(front: Front) -> None:
    with front.client() as channel:
        database = ProtoReflectionDescriptorDatabase(channel)
        assert sorted(database.get_services()) == sorted([*SERVICES, "grpc.health.v1.Health"])
        described = DescriptorPool(database)
        service = described.FindServiceByName("tensorflow.serving.PredictionService")
        assert {m.name for m in service.methods} == {
            "Classify",
            "GetModelMetadata",
            "MultiInference",
            "Predict",
            "Regress",
        }
        predict = service.FindMethodByName("Predict")
        request = GetMessageClass(predict.input_type)()
        request.model_spec.name = "nobody"
        request.inputs["x"].dtype = 1
        request.inputs["x"].float_val.append(1.0)
        request.inputs["x"].tensor_shape.dim.add(size=1)
        method = channel.unary_unary(f"/{service.full_name}/Predict", type(request).SerializeToString)
        with pytest.raises(grpc.RpcError) as raised:
            method(request, timeout=10)
        assert raised.value.details() == "Servable not found for request: Latest(nobody)"
        # And one that is answered.
        metadata = service.FindMethodByName("GetModelMetadata")
        question = GetMessageClass(metadata.input_type)(metadata_field=["signature_def"])
        question.model_spec.name = "m"
        answer = channel.unary_unary(
            f"/{service.full_name}/{metadata.name}",
            type(question).SerializeToString,
            GetMessageClass(metadata.output_type).FromString,
        )(question, timeout=10)
        assert answer.model_spec.version.value == 1


def test_health_is_listed_only_when_it_is_there(tmp_path: Path) -> None:
    with opened(tmp_path) as front, front.client() as channel:
        assert sorted(ProtoReflectionDescriptorDatabase(channel).get_services()) == SERVICES


# --- question by question --------------------------------------------------------------------------------------------


def test_every_answer_repeats_its_question(ask: Ask) -> None:
    answer = ask(Request(host="here", list_services="*"))
    assert (answer.valid_host, answer.original_request.host) == ("here", "here")
    assert answer.original_request.list_services == "*"
    assert [s.name for s in answer.list_services_response.service] == sorted([*SERVICES, "grpc.health.v1.Health"])


PREDICT = "tensorflow_serving/apis/predict.proto"


@pytest.mark.parametrize(
    ("symbol", "file"),
    [
        ("tensorflow.serving.PredictRequest", PREDICT),
        ("tensorflow.serving.PredictRequest.InputsEntry", PREDICT),
        ("tensorflow.serving.PredictRequest.output_filter", PREDICT),
        ("tensorflow.serving.PredictionService", "tensorflow_serving/apis/prediction_service.proto"),
        ("tensorflow.serving.PredictionService.Predict", "tensorflow_serving/apis/prediction_service.proto"),
        ("tensorflow.DataType", "tensorflow/core/framework/types.proto"),
        ("tensorflow.DT_FLOAT", "tensorflow/core/framework/types.proto"),
        ("tensorflow.serving.ModelVersionStatus.State", "tensorflow_serving/apis/get_model_status.proto"),
        ("tensorflow.serving.ModelVersionStatus.AVAILABLE", "tensorflow_serving/apis/get_model_status.proto"),
        ("tensorflow.serving.ModelSpec.version_choice", "tensorflow_serving/apis/model.proto"),
        ("grpc.health.v1.Health", "grpc/health/v1/health.proto"),
        ("google.protobuf.Any", "google/protobuf/any.proto"),
    ],
)
def test_symbols(ask: Ask, symbol: str, file: str) -> None:
    assert names(ask(Request(file_containing_symbol=symbol)))[0] == file


def test_a_file_comes_with_its_imports_each_time(ask: Ask) -> None:
    first = names(ask(Request(file_by_filename=PREDICT)))
    assert first[0] == PREDICT and len(set(first)) == len(first)
    assert {"tensorflow/core/framework/tensor.proto", "tensorflow_serving/apis/model.proto"} <= set(first)
    again = names(ask(Request(file_by_filename=PREDICT)))
    assert again == first
    service = names(ask(Request(file_containing_symbol="tensorflow.serving.PredictionService")))
    assert service[0] == "tensorflow_serving/apis/prediction_service.proto" and set(first) < set(service)


def test_an_answer_is_complete(ask: Ask) -> None:
    files = ask(
        Request(file_containing_symbol="tensorflow.serving.PredictionService")
    ).file_descriptor_response.file_descriptor_proto
    fresh = DescriptorPool()
    for data in sorted(files, key=serialized_files().index):
        fresh.AddSerializedFile(data)
    theirs = fresh.FindServiceByName("tensorflow.serving.PredictionService")
    ours = pool.FindServiceByName("tensorflow.serving.PredictionService")
    assert [m.full_name for m in theirs.methods] == [m.full_name for m in ours.methods]


@pytest.mark.parametrize(
    ("question", "code", "text"),
    [
        (Request(file_by_filename="nowhere.proto"), Code.NOT_FOUND, "no file nowhere.proto"),
        (Request(file_by_filename=""), Code.NOT_FOUND, "no file "),
        (Request(file_containing_symbol="tensorflow.Nobody"), Code.NOT_FOUND, "no symbol tensorflow.Nobody"),
        (Request(file_containing_symbol=".tensorflow.DataType"), Code.NOT_FOUND, "no symbol .tensorflow.DataType"),
        (
            Request(file_containing_extension=Extension(containing_type="tensorflow.TensorProto", extension_number=5)),
            Code.NOT_FOUND,
            "no extension tensorflow.TensorProto 5",
        ),
        (Request(all_extension_numbers_of_type="tensorflow.Nobody"), Code.NOT_FOUND, "no message tensorflow.Nobody"),
        (Request(), Code.UNIMPLEMENTED, "the request asks for nothing that is known here"),
    ],
)
def test_errors_leave_the_call_open(ask: Ask, question: Any, code: int, text: str) -> None:
    error = ask(question).error_response
    assert (error.error_code, error.error_message) == (code, text)
    assert ask(Request(list_services="")).list_services_response.service


def test_a_message_without_extensions(ask: Ask) -> None:
    answer = ask(Request(all_extension_numbers_of_type="tensorflow.TensorProto")).all_extension_numbers_response
    assert (answer.base_type_name, list(answer.extension_number)) == ("tensorflow.TensorProto", [])


@pytest.mark.parametrize(
    ("data", "status"),
    [(b"\xff", grpc.StatusCode.INVALID_ARGUMENT), (bytes(100_000), grpc.StatusCode.RESOURCE_EXHAUSTED)],
)
@pytest.mark.parametrize("path", PATHS)
def test_bad_requests(front: Front, path: bytes, data: bytes, status: grpc.StatusCode) -> None:
    with front.client() as channel:
        with pytest.raises(grpc.RpcError) as raised:
            next(channel.stream_stream(path.decode())(iter([data]), timeout=10))
        assert raised.value.code() is status


# --- extensions, of which the public API has none --------------------------------------------------------------------


def _field(name: str, number: int, extendee: str) -> FieldDescriptorProto:
    return FieldDescriptorProto(name=name, number=number, extendee=extendee, type=5, label=1)


def files_with_extensions() -> Sequence[bytes]:
    base = FileDescriptorProto(name="base.proto", package="p", message_type=[DescriptorProto(name="M")])
    base.message_type[0].extension_range.add(start=100, end=200)
    more = FileDescriptorProto(name="more.proto", dependency=["base.proto"], extension=[_field("a", 120, ".p.M")])
    more.message_type.add(name="Holder").extension.append(_field("b", 110, ".p.M"))
    return [base.SerializeToString(), more.SerializeToString()]


def test_extensions() -> None:
    index = Index(files_with_extensions())
    assert index.extensions("p.M") == [110, 120]
    assert index.extensions("Holder") == []
    assert index.file_of_extension("p.M", 120) == index.file_of_extension("p.M", 110) == "more.proto"
    assert index.file_of_symbol("a") == index.file_of_symbol("Holder.b") == "more.proto"
    assert [FileDescriptorProto.FromString(f).name for f in index.closure("more.proto")] == [
        "more.proto",
        "base.proto",
    ]
    for wrong in (("p.M", 130), ("p.N", 120), ("", 0)):
        with pytest.raises(ServingError, match="no extension"):
            index.file_of_extension(*wrong)


def file_in_pool(symbol: str) -> str:
    try:
        return pool.FindFileContainingSymbol(symbol).name
    except KeyError:  # it looks for no methods
        service, _, name = symbol.rpartition(".")
        return pool.FindServiceByName(service).FindMethodByName(name).containing_service.file.name


def test_every_symbol_is_found_where_the_pool_has_it() -> None:
    index = Index(serialized_files())
    assert len(index._symbols) > 1_000
    for symbol, file in index._symbols.items():
        assert file_in_pool(symbol) == file, symbol
