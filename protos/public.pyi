"""Types of `protos.public`. Written by `python -m protos.build`; do not edit."""

# ruff: noqa
# fmt: off

import builtins as _b
from collections.abc import Iterable as _Iterable, Mapping as _Mapping
from typing import ClassVar as _ClassVar, Final as _Final

from google.protobuf.descriptor import Descriptor as _Descriptor
from google.protobuf.descriptor_pool import DescriptorPool as _DescriptorPool
from google.protobuf.internal.containers import (
    MessageMap as _MessageMap,
    RepeatedCompositeFieldContainer as _Messages,
    RepeatedScalarFieldContainer as _Scalars,
    ScalarMap as _ScalarMap,
)
from google.protobuf.internal.enum_type_wrapper import EnumTypeWrapper as _Enum
from google.protobuf.internal.well_known_types import Any as _AnyMethods
from google.protobuf.message import Message as _Message

pool: _Final[_DescriptorPool]

def message_class(full_name: _b.str) -> _b.type[_Message]: ...

# grpc/health/v1/health.proto

class HealthCheckRequest(_Message):
    DESCRIPTOR: _ClassVar[_Descriptor]  # type: ignore[misc]
    service: _b.str
    def __init__(self, *, service: _b.str | None = ...) -> None: ...

class HealthCheckResponse(_Message):
    DESCRIPTOR: _ClassVar[_Descriptor]  # type: ignore[misc]
    class _ServingStatus(_Enum):
        UNKNOWN: _b.int
        SERVING: _b.int
        NOT_SERVING: _b.int
        SERVICE_UNKNOWN: _b.int
    ServingStatus: _ClassVar[_ServingStatus]
    UNKNOWN: _ClassVar[_b.int]
    SERVING: _ClassVar[_b.int]
    NOT_SERVING: _ClassVar[_b.int]
    SERVICE_UNKNOWN: _ClassVar[_b.int]
    status: _b.int
    def __init__(self, *, status: _b.int | None = ...) -> None: ...

class HealthListRequest(_Message):
    DESCRIPTOR: _ClassVar[_Descriptor]  # type: ignore[misc]
    def __init__(self) -> None: ...

class HealthListResponse(_Message):
    DESCRIPTOR: _ClassVar[_Descriptor]  # type: ignore[misc]
    @_b.property
    def statuses(self) -> _MessageMap[_b.str, HealthCheckResponse]: ...
    def __init__(self, *, statuses: _Mapping[_b.str, HealthCheckResponse] | None = ...) -> None: ...

# grpc/reflection/v1/reflection.proto

class ServerReflectionRequest(_Message):
    DESCRIPTOR: _ClassVar[_Descriptor]  # type: ignore[misc]
    host: _b.str
    file_by_filename: _b.str
    file_containing_symbol: _b.str
    @_b.property
    def file_containing_extension(self) -> ExtensionRequest: ...
    all_extension_numbers_of_type: _b.str
    list_services: _b.str
    def __init__(self, *, host: _b.str | None = ..., file_by_filename: _b.str | None = ..., file_containing_symbol: _b.str | None = ..., file_containing_extension: ExtensionRequest | None = ..., all_extension_numbers_of_type: _b.str | None = ..., list_services: _b.str | None = ...) -> None: ...

class ExtensionRequest(_Message):
    DESCRIPTOR: _ClassVar[_Descriptor]  # type: ignore[misc]
    containing_type: _b.str
    extension_number: _b.int
    def __init__(self, *, containing_type: _b.str | None = ..., extension_number: _b.int | None = ...) -> None: ...

class ServerReflectionResponse(_Message):
    DESCRIPTOR: _ClassVar[_Descriptor]  # type: ignore[misc]
    valid_host: _b.str
    @_b.property
    def original_request(self) -> ServerReflectionRequest: ...
    @_b.property
    def file_descriptor_response(self) -> FileDescriptorResponse: ...
    @_b.property
    def all_extension_numbers_response(self) -> ExtensionNumberResponse: ...
    @_b.property
    def list_services_response(self) -> ListServiceResponse: ...
    @_b.property
    def error_response(self) -> ErrorResponse: ...
    def __init__(self, *, valid_host: _b.str | None = ..., original_request: ServerReflectionRequest | None = ..., file_descriptor_response: FileDescriptorResponse | None = ..., all_extension_numbers_response: ExtensionNumberResponse | None = ..., list_services_response: ListServiceResponse | None = ..., error_response: ErrorResponse | None = ...) -> None: ...

class FileDescriptorResponse(_Message):
    DESCRIPTOR: _ClassVar[_Descriptor]  # type: ignore[misc]
    @_b.property
    def file_descriptor_proto(self) -> _Scalars[_b.bytes]: ...
    def __init__(self, *, file_descriptor_proto: _Iterable[_b.bytes] | None = ...) -> None: ...

class ExtensionNumberResponse(_Message):
    DESCRIPTOR: _ClassVar[_Descriptor]  # type: ignore[misc]
    base_type_name: _b.str
    @_b.property
    def extension_number(self) -> _Scalars[_b.int]: ...
    def __init__(self, *, base_type_name: _b.str | None = ..., extension_number: _Iterable[_b.int] | None = ...) -> None: ...

class ListServiceResponse(_Message):
    DESCRIPTOR: _ClassVar[_Descriptor]  # type: ignore[misc]
    @_b.property
    def service(self) -> _Messages[ServiceResponse]: ...
    def __init__(self, *, service: _Iterable[ServiceResponse] | None = ...) -> None: ...

class ServiceResponse(_Message):
    DESCRIPTOR: _ClassVar[_Descriptor]  # type: ignore[misc]
    name: _b.str
    def __init__(self, *, name: _b.str | None = ...) -> None: ...

class ErrorResponse(_Message):
    DESCRIPTOR: _ClassVar[_Descriptor]  # type: ignore[misc]
    error_code: _b.int
    error_message: _b.str
    def __init__(self, *, error_code: _b.int | None = ..., error_message: _b.str | None = ...) -> None: ...

# tensorflow/core/example/feature.proto

class BytesList(_Message):
    DESCRIPTOR: _ClassVar[_Descriptor]  # type: ignore[misc]
    @_b.property
    def value(self) -> _Scalars[_b.bytes]: ...
    def __init__(self, *, value: _Iterable[_b.bytes] | None = ...) -> None: ...

class FloatList(_Message):
    DESCRIPTOR: _ClassVar[_Descriptor]  # type: ignore[misc]
    @_b.property
    def value(self) -> _Scalars[_b.float]: ...
    def __init__(self, *, value: _Iterable[_b.float] | None = ...) -> None: ...

class Int64List(_Message):
    DESCRIPTOR: _ClassVar[_Descriptor]  # type: ignore[misc]
    @_b.property
    def value(self) -> _Scalars[_b.int]: ...
    def __init__(self, *, value: _Iterable[_b.int] | None = ...) -> None: ...

class Feature(_Message):
    DESCRIPTOR: _ClassVar[_Descriptor]  # type: ignore[misc]
    @_b.property
    def bytes_list(self) -> BytesList: ...
    @_b.property
    def float_list(self) -> FloatList: ...
    @_b.property
    def int64_list(self) -> Int64List: ...
    def __init__(self, *, bytes_list: BytesList | None = ..., float_list: FloatList | None = ..., int64_list: Int64List | None = ...) -> None: ...

class Features(_Message):
    DESCRIPTOR: _ClassVar[_Descriptor]  # type: ignore[misc]
    @_b.property
    def feature(self) -> _MessageMap[_b.str, Feature]: ...
    def __init__(self, *, feature: _Mapping[_b.str, Feature] | None = ...) -> None: ...

class FeatureList(_Message):
    DESCRIPTOR: _ClassVar[_Descriptor]  # type: ignore[misc]
    @_b.property
    def feature(self) -> _Messages[Feature]: ...
    def __init__(self, *, feature: _Iterable[Feature] | None = ...) -> None: ...

class FeatureLists(_Message):
    DESCRIPTOR: _ClassVar[_Descriptor]  # type: ignore[misc]
    @_b.property
    def feature_list(self) -> _MessageMap[_b.str, FeatureList]: ...
    def __init__(self, *, feature_list: _Mapping[_b.str, FeatureList] | None = ...) -> None: ...

# tensorflow/core/example/example.proto

class Example(_Message):
    DESCRIPTOR: _ClassVar[_Descriptor]  # type: ignore[misc]
    @_b.property
    def features(self) -> Features: ...
    def __init__(self, *, features: Features | None = ...) -> None: ...

class SequenceExample(_Message):
    DESCRIPTOR: _ClassVar[_Descriptor]  # type: ignore[misc]
    @_b.property
    def context(self) -> Features: ...
    @_b.property
    def feature_lists(self) -> FeatureLists: ...
    def __init__(self, *, context: Features | None = ..., feature_lists: FeatureLists | None = ...) -> None: ...

# tensorflow/core/framework/allocation_description.proto

class AllocationDescription(_Message):
    DESCRIPTOR: _ClassVar[_Descriptor]  # type: ignore[misc]
    requested_bytes: _b.int
    allocated_bytes: _b.int
    allocator_name: _b.str
    allocation_id: _b.int
    has_single_reference: _b.bool
    ptr: _b.int
    def __init__(self, *, requested_bytes: _b.int | None = ..., allocated_bytes: _b.int | None = ..., allocator_name: _b.str | None = ..., allocation_id: _b.int | None = ..., has_single_reference: _b.bool | None = ..., ptr: _b.int | None = ...) -> None: ...

# tensorflow/core/framework/tensor_shape.proto

class TensorShapeProto(_Message):
    DESCRIPTOR: _ClassVar[_Descriptor]  # type: ignore[misc]
    class Dim(_Message):
        DESCRIPTOR: _ClassVar[_Descriptor]  # type: ignore[misc]
        size: _b.int
        name: _b.str
        def __init__(self, *, size: _b.int | None = ..., name: _b.str | None = ...) -> None: ...
    @_b.property
    def dim(self) -> _Messages[TensorShapeProto.Dim]: ...
    unknown_rank: _b.bool
    def __init__(self, *, dim: _Iterable[TensorShapeProto.Dim] | None = ..., unknown_rank: _b.bool | None = ...) -> None: ...

# tensorflow/core/framework/types.proto

class _DataType(_Enum):
    DT_INVALID: _b.int
    DT_FLOAT: _b.int
    DT_DOUBLE: _b.int
    DT_INT32: _b.int
    DT_UINT8: _b.int
    DT_INT16: _b.int
    DT_INT8: _b.int
    DT_STRING: _b.int
    DT_COMPLEX64: _b.int
    DT_INT64: _b.int
    DT_BOOL: _b.int
    DT_QINT8: _b.int
    DT_QUINT8: _b.int
    DT_QINT32: _b.int
    DT_BFLOAT16: _b.int
    DT_QINT16: _b.int
    DT_QUINT16: _b.int
    DT_UINT16: _b.int
    DT_COMPLEX128: _b.int
    DT_HALF: _b.int
    DT_RESOURCE: _b.int
    DT_VARIANT: _b.int
    DT_UINT32: _b.int
    DT_UINT64: _b.int
    DT_FLOAT8_E5M2: _b.int
    DT_FLOAT8_E4M3FN: _b.int
    DT_FLOAT8_E4M3FNUZ: _b.int
    DT_FLOAT8_E4M3B11FNUZ: _b.int
    DT_FLOAT8_E5M2FNUZ: _b.int
    DT_INT4: _b.int
    DT_UINT4: _b.int
    DT_INT2: _b.int
    DT_UINT2: _b.int
    DT_FLOAT4_E2M1FN: _b.int
    DT_FLOAT_REF: _b.int
    DT_DOUBLE_REF: _b.int
    DT_INT32_REF: _b.int
    DT_UINT8_REF: _b.int
    DT_INT16_REF: _b.int
    DT_INT8_REF: _b.int
    DT_STRING_REF: _b.int
    DT_COMPLEX64_REF: _b.int
    DT_INT64_REF: _b.int
    DT_BOOL_REF: _b.int
    DT_QINT8_REF: _b.int
    DT_QUINT8_REF: _b.int
    DT_QINT32_REF: _b.int
    DT_BFLOAT16_REF: _b.int
    DT_QINT16_REF: _b.int
    DT_QUINT16_REF: _b.int
    DT_UINT16_REF: _b.int
    DT_COMPLEX128_REF: _b.int
    DT_HALF_REF: _b.int
    DT_RESOURCE_REF: _b.int
    DT_VARIANT_REF: _b.int
    DT_UINT32_REF: _b.int
    DT_UINT64_REF: _b.int
    DT_FLOAT8_E5M2_REF: _b.int
    DT_FLOAT8_E4M3FN_REF: _b.int
    DT_FLOAT8_E4M3FNUZ_REF: _b.int
    DT_FLOAT8_E4M3B11FNUZ_REF: _b.int
    DT_FLOAT8_E5M2FNUZ_REF: _b.int
    DT_INT4_REF: _b.int
    DT_UINT4_REF: _b.int
    DT_INT2_REF: _b.int
    DT_UINT2_REF: _b.int
    DT_FLOAT4_E2M1FN_REF: _b.int
DataType: _Final[_DataType]

class SerializedDType(_Message):
    DESCRIPTOR: _ClassVar[_Descriptor]  # type: ignore[misc]
    datatype: _b.int
    def __init__(self, *, datatype: _b.int | None = ...) -> None: ...

# tensorflow/core/framework/resource_handle.proto

class ResourceHandleProto(_Message):
    DESCRIPTOR: _ClassVar[_Descriptor]  # type: ignore[misc]
    class DtypeAndShape(_Message):
        DESCRIPTOR: _ClassVar[_Descriptor]  # type: ignore[misc]
        dtype: _b.int
        @_b.property
        def shape(self) -> TensorShapeProto: ...
        def __init__(self, *, dtype: _b.int | None = ..., shape: TensorShapeProto | None = ...) -> None: ...
    device: _b.str
    container: _b.str
    name: _b.str
    hash_code: _b.int
    maybe_type_name: _b.str
    @_b.property
    def dtypes_and_shapes(self) -> _Messages[ResourceHandleProto.DtypeAndShape]: ...
    def __init__(self, *, device: _b.str | None = ..., container: _b.str | None = ..., name: _b.str | None = ..., hash_code: _b.int | None = ..., maybe_type_name: _b.str | None = ..., dtypes_and_shapes: _Iterable[ResourceHandleProto.DtypeAndShape] | None = ...) -> None: ...

# tensorflow/core/framework/tensor.proto

class TensorProto(_Message):
    DESCRIPTOR: _ClassVar[_Descriptor]  # type: ignore[misc]
    dtype: _b.int
    @_b.property
    def tensor_shape(self) -> TensorShapeProto: ...
    version_number: _b.int
    tensor_content: _b.bytes
    @_b.property
    def half_val(self) -> _Scalars[_b.int]: ...
    @_b.property
    def float_val(self) -> _Scalars[_b.float]: ...
    @_b.property
    def double_val(self) -> _Scalars[_b.float]: ...
    @_b.property
    def int_val(self) -> _Scalars[_b.int]: ...
    @_b.property
    def string_val(self) -> _Scalars[_b.bytes]: ...
    @_b.property
    def scomplex_val(self) -> _Scalars[_b.float]: ...
    @_b.property
    def int64_val(self) -> _Scalars[_b.int]: ...
    @_b.property
    def bool_val(self) -> _Scalars[_b.bool]: ...
    @_b.property
    def dcomplex_val(self) -> _Scalars[_b.float]: ...
    @_b.property
    def resource_handle_val(self) -> _Messages[ResourceHandleProto]: ...
    @_b.property
    def variant_val(self) -> _Messages[VariantTensorDataProto]: ...
    @_b.property
    def uint32_val(self) -> _Scalars[_b.int]: ...
    @_b.property
    def uint64_val(self) -> _Scalars[_b.int]: ...
    float8_val: _b.bytes
    def __init__(self, *, dtype: _b.int | None = ..., tensor_shape: TensorShapeProto | None = ..., version_number: _b.int | None = ..., tensor_content: _b.bytes | None = ..., half_val: _Iterable[_b.int] | None = ..., float_val: _Iterable[_b.float] | None = ..., double_val: _Iterable[_b.float] | None = ..., int_val: _Iterable[_b.int] | None = ..., string_val: _Iterable[_b.bytes] | None = ..., scomplex_val: _Iterable[_b.float] | None = ..., int64_val: _Iterable[_b.int] | None = ..., bool_val: _Iterable[_b.bool] | None = ..., dcomplex_val: _Iterable[_b.float] | None = ..., resource_handle_val: _Iterable[ResourceHandleProto] | None = ..., variant_val: _Iterable[VariantTensorDataProto] | None = ..., uint32_val: _Iterable[_b.int] | None = ..., uint64_val: _Iterable[_b.int] | None = ..., float8_val: _b.bytes | None = ...) -> None: ...

class VariantTensorDataProto(_Message):
    DESCRIPTOR: _ClassVar[_Descriptor]  # type: ignore[misc]
    type_name: _b.str
    metadata: _b.bytes
    @_b.property
    def tensors(self) -> _Messages[TensorProto]: ...
    def __init__(self, *, type_name: _b.str | None = ..., metadata: _b.bytes | None = ..., tensors: _Iterable[TensorProto] | None = ...) -> None: ...

# tensorflow/core/framework/attr_value.proto

class AttrValue(_Message):
    DESCRIPTOR: _ClassVar[_Descriptor]  # type: ignore[misc]
    class ListValue(_Message):
        DESCRIPTOR: _ClassVar[_Descriptor]  # type: ignore[misc]
        @_b.property
        def s(self) -> _Scalars[_b.bytes]: ...
        @_b.property
        def i(self) -> _Scalars[_b.int]: ...
        @_b.property
        def f(self) -> _Scalars[_b.float]: ...
        @_b.property
        def b(self) -> _Scalars[_b.bool]: ...
        @_b.property
        def type(self) -> _Scalars[_b.int]: ...
        @_b.property
        def shape(self) -> _Messages[TensorShapeProto]: ...
        @_b.property
        def tensor(self) -> _Messages[TensorProto]: ...
        @_b.property
        def func(self) -> _Messages[NameAttrList]: ...
        def __init__(self, *, s: _Iterable[_b.bytes] | None = ..., i: _Iterable[_b.int] | None = ..., f: _Iterable[_b.float] | None = ..., b: _Iterable[_b.bool] | None = ..., type: _Iterable[_b.int] | None = ..., shape: _Iterable[TensorShapeProto] | None = ..., tensor: _Iterable[TensorProto] | None = ..., func: _Iterable[NameAttrList] | None = ...) -> None: ...
    s: _b.bytes
    i: _b.int
    f: _b.float
    b: _b.bool
    type: _b.int
    @_b.property
    def shape(self) -> TensorShapeProto: ...
    @_b.property
    def tensor(self) -> TensorProto: ...
    @_b.property
    def list(self) -> AttrValue.ListValue: ...
    @_b.property
    def func(self) -> NameAttrList: ...
    placeholder: _b.str
    def __init__(self, *, s: _b.bytes | None = ..., i: _b.int | None = ..., f: _b.float | None = ..., b: _b.bool | None = ..., type: _b.int | None = ..., shape: TensorShapeProto | None = ..., tensor: TensorProto | None = ..., list: AttrValue.ListValue | None = ..., func: NameAttrList | None = ..., placeholder: _b.str | None = ...) -> None: ...

class NameAttrList(_Message):
    DESCRIPTOR: _ClassVar[_Descriptor]  # type: ignore[misc]
    name: _b.str
    @_b.property
    def attr(self) -> _MessageMap[_b.str, AttrValue]: ...
    def __init__(self, *, name: _b.str | None = ..., attr: _Mapping[_b.str, AttrValue] | None = ...) -> None: ...

# tensorflow/core/framework/cost_graph.proto

class CostGraphDef(_Message):
    DESCRIPTOR: _ClassVar[_Descriptor]  # type: ignore[misc]
    class Node(_Message):
        DESCRIPTOR: _ClassVar[_Descriptor]  # type: ignore[misc]
        class InputInfo(_Message):
            DESCRIPTOR: _ClassVar[_Descriptor]  # type: ignore[misc]
            preceding_node: _b.int
            preceding_port: _b.int
            def __init__(self, *, preceding_node: _b.int | None = ..., preceding_port: _b.int | None = ...) -> None: ...
        class OutputInfo(_Message):
            DESCRIPTOR: _ClassVar[_Descriptor]  # type: ignore[misc]
            size: _b.int
            alias_input_port: _b.int
            @_b.property
            def shape(self) -> TensorShapeProto: ...
            dtype: _b.int
            def __init__(self, *, size: _b.int | None = ..., alias_input_port: _b.int | None = ..., shape: TensorShapeProto | None = ..., dtype: _b.int | None = ...) -> None: ...
        name: _b.str
        device: _b.str
        id: _b.int
        @_b.property
        def input_info(self) -> _Messages[CostGraphDef.Node.InputInfo]: ...
        @_b.property
        def output_info(self) -> _Messages[CostGraphDef.Node.OutputInfo]: ...
        temporary_memory_size: _b.int
        persistent_memory_size: _b.int
        host_temp_memory_size: _b.int
        device_temp_memory_size: _b.int
        device_persistent_memory_size: _b.int
        compute_cost: _b.int
        compute_time: _b.int
        memory_time: _b.int
        is_final: _b.bool
        @_b.property
        def control_input(self) -> _Scalars[_b.int]: ...
        inaccurate: _b.bool
        def __init__(self, *, name: _b.str | None = ..., device: _b.str | None = ..., id: _b.int | None = ..., input_info: _Iterable[CostGraphDef.Node.InputInfo] | None = ..., output_info: _Iterable[CostGraphDef.Node.OutputInfo] | None = ..., temporary_memory_size: _b.int | None = ..., persistent_memory_size: _b.int | None = ..., host_temp_memory_size: _b.int | None = ..., device_temp_memory_size: _b.int | None = ..., device_persistent_memory_size: _b.int | None = ..., compute_cost: _b.int | None = ..., compute_time: _b.int | None = ..., memory_time: _b.int | None = ..., is_final: _b.bool | None = ..., control_input: _Iterable[_b.int] | None = ..., inaccurate: _b.bool | None = ...) -> None: ...
    class AggregatedCost(_Message):
        DESCRIPTOR: _ClassVar[_Descriptor]  # type: ignore[misc]
        cost: _b.float
        dimension: _b.str
        def __init__(self, *, cost: _b.float | None = ..., dimension: _b.str | None = ...) -> None: ...
    @_b.property
    def node(self) -> _Messages[CostGraphDef.Node]: ...
    @_b.property
    def cost(self) -> _Messages[CostGraphDef.AggregatedCost]: ...
    def __init__(self, *, node: _Iterable[CostGraphDef.Node] | None = ..., cost: _Iterable[CostGraphDef.AggregatedCost] | None = ...) -> None: ...

# tensorflow/core/framework/full_type.proto

class _FullTypeId(_Enum):
    TFT_UNSET: _b.int
    TFT_VAR: _b.int
    TFT_ANY: _b.int
    TFT_PRODUCT: _b.int
    TFT_NAMED: _b.int
    TFT_FOR_EACH: _b.int
    TFT_CALLABLE: _b.int
    TFT_TENSOR: _b.int
    TFT_ARRAY: _b.int
    TFT_OPTIONAL: _b.int
    TFT_LITERAL: _b.int
    TFT_ENCODED: _b.int
    TFT_SHAPE_TENSOR: _b.int
    TFT_BOOL: _b.int
    TFT_UINT8: _b.int
    TFT_UINT16: _b.int
    TFT_UINT32: _b.int
    TFT_UINT64: _b.int
    TFT_INT8: _b.int
    TFT_INT16: _b.int
    TFT_INT32: _b.int
    TFT_INT64: _b.int
    TFT_HALF: _b.int
    TFT_FLOAT: _b.int
    TFT_DOUBLE: _b.int
    TFT_BFLOAT16: _b.int
    TFT_COMPLEX64: _b.int
    TFT_COMPLEX128: _b.int
    TFT_STRING: _b.int
    TFT_DATASET: _b.int
    TFT_RAGGED: _b.int
    TFT_ITERATOR: _b.int
    TFT_MUTEX_LOCK: _b.int
    TFT_LEGACY_VARIANT: _b.int
FullTypeId: _Final[_FullTypeId]

class FullTypeDef(_Message):
    DESCRIPTOR: _ClassVar[_Descriptor]  # type: ignore[misc]
    type_id: _b.int
    @_b.property
    def args(self) -> _Messages[FullTypeDef]: ...
    s: _b.str
    i: _b.int
    def __init__(self, *, type_id: _b.int | None = ..., args: _Iterable[FullTypeDef] | None = ..., s: _b.str | None = ..., i: _b.int | None = ...) -> None: ...

# tensorflow/core/framework/node_def.proto

class NodeDef(_Message):
    DESCRIPTOR: _ClassVar[_Descriptor]  # type: ignore[misc]
    class ExperimentalDebugInfo(_Message):
        DESCRIPTOR: _ClassVar[_Descriptor]  # type: ignore[misc]
        @_b.property
        def original_node_names(self) -> _Scalars[_b.str]: ...
        @_b.property
        def original_func_names(self) -> _Scalars[_b.str]: ...
        def __init__(self, *, original_node_names: _Iterable[_b.str] | None = ..., original_func_names: _Iterable[_b.str] | None = ...) -> None: ...
    name: _b.str
    op: _b.str
    @_b.property
    def input(self) -> _Scalars[_b.str]: ...
    device: _b.str
    @_b.property
    def attr(self) -> _MessageMap[_b.str, AttrValue]: ...
    @_b.property
    def experimental_debug_info(self) -> NodeDef.ExperimentalDebugInfo: ...
    @_b.property
    def experimental_type(self) -> FullTypeDef: ...
    def __init__(self, *, name: _b.str | None = ..., op: _b.str | None = ..., input: _Iterable[_b.str] | None = ..., device: _b.str | None = ..., attr: _Mapping[_b.str, AttrValue] | None = ..., experimental_debug_info: NodeDef.ExperimentalDebugInfo | None = ..., experimental_type: FullTypeDef | None = ...) -> None: ...

# tensorflow/core/framework/op_def.proto

class OpDef(_Message):
    DESCRIPTOR: _ClassVar[_Descriptor]  # type: ignore[misc]
    class ArgDef(_Message):
        DESCRIPTOR: _ClassVar[_Descriptor]  # type: ignore[misc]
        name: _b.str
        description: _b.str
        type: _b.int
        type_attr: _b.str
        number_attr: _b.str
        type_list_attr: _b.str
        @_b.property
        def handle_data(self) -> _Messages[ResourceHandleProto.DtypeAndShape]: ...
        is_ref: _b.bool
        @_b.property
        def experimental_full_type(self) -> FullTypeDef: ...
        def __init__(self, *, name: _b.str | None = ..., description: _b.str | None = ..., type: _b.int | None = ..., type_attr: _b.str | None = ..., number_attr: _b.str | None = ..., type_list_attr: _b.str | None = ..., handle_data: _Iterable[ResourceHandleProto.DtypeAndShape] | None = ..., is_ref: _b.bool | None = ..., experimental_full_type: FullTypeDef | None = ...) -> None: ...
    class AttrDef(_Message):
        DESCRIPTOR: _ClassVar[_Descriptor]  # type: ignore[misc]
        name: _b.str
        type: _b.str
        @_b.property
        def default_value(self) -> AttrValue: ...
        description: _b.str
        has_minimum: _b.bool
        minimum: _b.int
        @_b.property
        def allowed_values(self) -> AttrValue: ...
        def __init__(self, *, name: _b.str | None = ..., type: _b.str | None = ..., default_value: AttrValue | None = ..., description: _b.str | None = ..., has_minimum: _b.bool | None = ..., minimum: _b.int | None = ..., allowed_values: AttrValue | None = ...) -> None: ...
    name: _b.str
    @_b.property
    def input_arg(self) -> _Messages[OpDef.ArgDef]: ...
    @_b.property
    def output_arg(self) -> _Messages[OpDef.ArgDef]: ...
    @_b.property
    def control_output(self) -> _Scalars[_b.str]: ...
    @_b.property
    def attr(self) -> _Messages[OpDef.AttrDef]: ...
    @_b.property
    def deprecation(self) -> OpDeprecation: ...
    summary: _b.str
    description: _b.str
    is_commutative: _b.bool
    is_aggregate: _b.bool
    is_stateful: _b.bool
    allows_uninitialized_input: _b.bool
    is_distributed_communication: _b.bool
    def __init__(self, *, name: _b.str | None = ..., input_arg: _Iterable[OpDef.ArgDef] | None = ..., output_arg: _Iterable[OpDef.ArgDef] | None = ..., control_output: _Iterable[_b.str] | None = ..., attr: _Iterable[OpDef.AttrDef] | None = ..., deprecation: OpDeprecation | None = ..., summary: _b.str | None = ..., description: _b.str | None = ..., is_commutative: _b.bool | None = ..., is_aggregate: _b.bool | None = ..., is_stateful: _b.bool | None = ..., allows_uninitialized_input: _b.bool | None = ..., is_distributed_communication: _b.bool | None = ...) -> None: ...

class OpDeprecation(_Message):
    DESCRIPTOR: _ClassVar[_Descriptor]  # type: ignore[misc]
    version: _b.int
    explanation: _b.str
    def __init__(self, *, version: _b.int | None = ..., explanation: _b.str | None = ...) -> None: ...

class OpList(_Message):
    DESCRIPTOR: _ClassVar[_Descriptor]  # type: ignore[misc]
    @_b.property
    def op(self) -> _Messages[OpDef]: ...
    def __init__(self, *, op: _Iterable[OpDef] | None = ...) -> None: ...

# tensorflow/core/framework/function.proto

class FunctionDefLibrary(_Message):
    DESCRIPTOR: _ClassVar[_Descriptor]  # type: ignore[misc]
    @_b.property
    def function(self) -> _Messages[FunctionDef]: ...
    @_b.property
    def gradient(self) -> _Messages[GradientDef]: ...
    @_b.property
    def registered_gradients(self) -> _Messages[RegisteredGradient]: ...
    def __init__(self, *, function: _Iterable[FunctionDef] | None = ..., gradient: _Iterable[GradientDef] | None = ..., registered_gradients: _Iterable[RegisteredGradient] | None = ...) -> None: ...

class FunctionDef(_Message):
    DESCRIPTOR: _ClassVar[_Descriptor]  # type: ignore[misc]
    class ArgAttrs(_Message):
        DESCRIPTOR: _ClassVar[_Descriptor]  # type: ignore[misc]
        @_b.property
        def attr(self) -> _MessageMap[_b.str, AttrValue]: ...
        def __init__(self, *, attr: _Mapping[_b.str, AttrValue] | None = ...) -> None: ...
    @_b.property
    def signature(self) -> OpDef: ...
    @_b.property
    def attr(self) -> _MessageMap[_b.str, AttrValue]: ...
    @_b.property
    def arg_attr(self) -> _MessageMap[_b.int, FunctionDef.ArgAttrs]: ...
    @_b.property
    def resource_arg_unique_id(self) -> _ScalarMap[_b.int, _b.int]: ...
    @_b.property
    def node_def(self) -> _Messages[NodeDef]: ...
    @_b.property
    def ret(self) -> _ScalarMap[_b.str, _b.str]: ...
    @_b.property
    def control_ret(self) -> _ScalarMap[_b.str, _b.str]: ...
    def __init__(self, *, signature: OpDef | None = ..., attr: _Mapping[_b.str, AttrValue] | None = ..., arg_attr: _Mapping[_b.int, FunctionDef.ArgAttrs] | None = ..., resource_arg_unique_id: _Mapping[_b.int, _b.int] | None = ..., node_def: _Iterable[NodeDef] | None = ..., ret: _Mapping[_b.str, _b.str] | None = ..., control_ret: _Mapping[_b.str, _b.str] | None = ...) -> None: ...

class GradientDef(_Message):
    DESCRIPTOR: _ClassVar[_Descriptor]  # type: ignore[misc]
    function_name: _b.str
    gradient_func: _b.str
    def __init__(self, *, function_name: _b.str | None = ..., gradient_func: _b.str | None = ...) -> None: ...

class RegisteredGradient(_Message):
    DESCRIPTOR: _ClassVar[_Descriptor]  # type: ignore[misc]
    gradient_func: _b.str
    registered_op_type: _b.str
    def __init__(self, *, gradient_func: _b.str | None = ..., registered_op_type: _b.str | None = ...) -> None: ...

# tensorflow/core/framework/graph_debug_info.proto

class GraphDebugInfo(_Message):
    DESCRIPTOR: _ClassVar[_Descriptor]  # type: ignore[misc]
    class FileLineCol(_Message):
        DESCRIPTOR: _ClassVar[_Descriptor]  # type: ignore[misc]
        file_index: _b.int
        line: _b.int
        col: _b.int
        func: _b.str
        code: _b.str
        def __init__(self, *, file_index: _b.int | None = ..., line: _b.int | None = ..., col: _b.int | None = ..., func: _b.str | None = ..., code: _b.str | None = ...) -> None: ...
    class StackTrace(_Message):
        DESCRIPTOR: _ClassVar[_Descriptor]  # type: ignore[misc]
        @_b.property
        def file_line_cols(self) -> _Messages[GraphDebugInfo.FileLineCol]: ...
        @_b.property
        def frame_id(self) -> _Scalars[_b.int]: ...
        def __init__(self, *, file_line_cols: _Iterable[GraphDebugInfo.FileLineCol] | None = ..., frame_id: _Iterable[_b.int] | None = ...) -> None: ...
    @_b.property
    def files(self) -> _Scalars[_b.str]: ...
    @_b.property
    def frames_by_id(self) -> _MessageMap[_b.int, GraphDebugInfo.FileLineCol]: ...
    @_b.property
    def traces_by_id(self) -> _MessageMap[_b.int, GraphDebugInfo.StackTrace]: ...
    @_b.property
    def traces(self) -> _MessageMap[_b.str, GraphDebugInfo.StackTrace]: ...
    @_b.property
    def name_to_trace_id(self) -> _ScalarMap[_b.str, _b.int]: ...
    def __init__(self, *, files: _Iterable[_b.str] | None = ..., frames_by_id: _Mapping[_b.int, GraphDebugInfo.FileLineCol] | None = ..., traces_by_id: _Mapping[_b.int, GraphDebugInfo.StackTrace] | None = ..., traces: _Mapping[_b.str, GraphDebugInfo.StackTrace] | None = ..., name_to_trace_id: _Mapping[_b.str, _b.int] | None = ...) -> None: ...

# tensorflow/core/framework/versions.proto

class VersionDef(_Message):
    DESCRIPTOR: _ClassVar[_Descriptor]  # type: ignore[misc]
    producer: _b.int
    min_consumer: _b.int
    @_b.property
    def bad_consumers(self) -> _Scalars[_b.int]: ...
    def __init__(self, *, producer: _b.int | None = ..., min_consumer: _b.int | None = ..., bad_consumers: _Iterable[_b.int] | None = ...) -> None: ...

# tensorflow/core/framework/graph.proto

class GraphDef(_Message):
    DESCRIPTOR: _ClassVar[_Descriptor]  # type: ignore[misc]
    @_b.property
    def node(self) -> _Messages[NodeDef]: ...
    @_b.property
    def versions(self) -> VersionDef: ...
    version: _b.int
    @_b.property
    def library(self) -> FunctionDefLibrary: ...
    @_b.property
    def debug_info(self) -> GraphDebugInfo: ...
    def __init__(self, *, node: _Iterable[NodeDef] | None = ..., versions: VersionDef | None = ..., version: _b.int | None = ..., library: FunctionDefLibrary | None = ..., debug_info: GraphDebugInfo | None = ...) -> None: ...

# tensorflow/core/framework/tensor_description.proto

class TensorDescription(_Message):
    DESCRIPTOR: _ClassVar[_Descriptor]  # type: ignore[misc]
    dtype: _b.int
    @_b.property
    def shape(self) -> TensorShapeProto: ...
    @_b.property
    def allocation_description(self) -> AllocationDescription: ...
    def __init__(self, *, dtype: _b.int | None = ..., shape: TensorShapeProto | None = ..., allocation_description: AllocationDescription | None = ...) -> None: ...

# tensorflow/core/framework/step_stats.proto

class AllocationRecord(_Message):
    DESCRIPTOR: _ClassVar[_Descriptor]  # type: ignore[misc]
    alloc_micros: _b.int
    alloc_bytes: _b.int
    def __init__(self, *, alloc_micros: _b.int | None = ..., alloc_bytes: _b.int | None = ...) -> None: ...

class AllocatorMemoryUsed(_Message):
    DESCRIPTOR: _ClassVar[_Descriptor]  # type: ignore[misc]
    allocator_name: _b.str
    total_bytes: _b.int
    peak_bytes: _b.int
    live_bytes: _b.int
    @_b.property
    def allocation_records(self) -> _Messages[AllocationRecord]: ...
    allocator_bytes_in_use: _b.int
    def __init__(self, *, allocator_name: _b.str | None = ..., total_bytes: _b.int | None = ..., peak_bytes: _b.int | None = ..., live_bytes: _b.int | None = ..., allocation_records: _Iterable[AllocationRecord] | None = ..., allocator_bytes_in_use: _b.int | None = ...) -> None: ...

class NodeOutput(_Message):
    DESCRIPTOR: _ClassVar[_Descriptor]  # type: ignore[misc]
    slot: _b.int
    @_b.property
    def tensor_description(self) -> TensorDescription: ...
    def __init__(self, *, slot: _b.int | None = ..., tensor_description: TensorDescription | None = ...) -> None: ...

class MemoryStats(_Message):
    DESCRIPTOR: _ClassVar[_Descriptor]  # type: ignore[misc]
    temp_memory_size: _b.int
    persistent_memory_size: _b.int
    @_b.property
    def persistent_tensor_alloc_ids(self) -> _Scalars[_b.int]: ...
    device_temp_memory_size: _b.int
    device_persistent_memory_size: _b.int
    @_b.property
    def device_persistent_tensor_alloc_ids(self) -> _Scalars[_b.int]: ...
    def __init__(self, *, temp_memory_size: _b.int | None = ..., persistent_memory_size: _b.int | None = ..., persistent_tensor_alloc_ids: _Iterable[_b.int] | None = ..., device_temp_memory_size: _b.int | None = ..., device_persistent_memory_size: _b.int | None = ..., device_persistent_tensor_alloc_ids: _Iterable[_b.int] | None = ...) -> None: ...

class NodeExecStats(_Message):
    DESCRIPTOR: _ClassVar[_Descriptor]  # type: ignore[misc]
    node_name: _b.str
    all_start_micros: _b.int
    op_start_rel_micros: _b.int
    op_end_rel_micros: _b.int
    all_end_rel_micros: _b.int
    @_b.property
    def memory(self) -> _Messages[AllocatorMemoryUsed]: ...
    @_b.property
    def output(self) -> _Messages[NodeOutput]: ...
    timeline_label: _b.str
    scheduled_micros: _b.int
    thread_id: _b.int
    @_b.property
    def referenced_tensor(self) -> _Messages[AllocationDescription]: ...
    @_b.property
    def memory_stats(self) -> MemoryStats: ...
    all_start_nanos: _b.int
    op_start_rel_nanos: _b.int
    op_end_rel_nanos: _b.int
    all_end_rel_nanos: _b.int
    scheduled_nanos: _b.int
    def __init__(self, *, node_name: _b.str | None = ..., all_start_micros: _b.int | None = ..., op_start_rel_micros: _b.int | None = ..., op_end_rel_micros: _b.int | None = ..., all_end_rel_micros: _b.int | None = ..., memory: _Iterable[AllocatorMemoryUsed] | None = ..., output: _Iterable[NodeOutput] | None = ..., timeline_label: _b.str | None = ..., scheduled_micros: _b.int | None = ..., thread_id: _b.int | None = ..., referenced_tensor: _Iterable[AllocationDescription] | None = ..., memory_stats: MemoryStats | None = ..., all_start_nanos: _b.int | None = ..., op_start_rel_nanos: _b.int | None = ..., op_end_rel_nanos: _b.int | None = ..., all_end_rel_nanos: _b.int | None = ..., scheduled_nanos: _b.int | None = ...) -> None: ...

class DeviceStepStats(_Message):
    DESCRIPTOR: _ClassVar[_Descriptor]  # type: ignore[misc]
    device: _b.str
    @_b.property
    def node_stats(self) -> _Messages[NodeExecStats]: ...
    @_b.property
    def thread_names(self) -> _ScalarMap[_b.int, _b.str]: ...
    def __init__(self, *, device: _b.str | None = ..., node_stats: _Iterable[NodeExecStats] | None = ..., thread_names: _Mapping[_b.int, _b.str] | None = ...) -> None: ...

class StepStats(_Message):
    DESCRIPTOR: _ClassVar[_Descriptor]  # type: ignore[misc]
    @_b.property
    def dev_stats(self) -> _Messages[DeviceStepStats]: ...
    def __init__(self, *, dev_stats: _Iterable[DeviceStepStats] | None = ...) -> None: ...

# tensorflow/core/framework/variable.proto

class _VariableSynchronization(_Enum):
    VARIABLE_SYNCHRONIZATION_AUTO: _b.int
    VARIABLE_SYNCHRONIZATION_NONE: _b.int
    VARIABLE_SYNCHRONIZATION_ON_WRITE: _b.int
    VARIABLE_SYNCHRONIZATION_ON_READ: _b.int
VariableSynchronization: _Final[_VariableSynchronization]

class _VariableAggregation(_Enum):
    VARIABLE_AGGREGATION_NONE: _b.int
    VARIABLE_AGGREGATION_SUM: _b.int
    VARIABLE_AGGREGATION_MEAN: _b.int
    VARIABLE_AGGREGATION_ONLY_FIRST_REPLICA: _b.int
VariableAggregation: _Final[_VariableAggregation]

class VariableDef(_Message):
    DESCRIPTOR: _ClassVar[_Descriptor]  # type: ignore[misc]
    variable_name: _b.str
    initial_value_name: _b.str
    initializer_name: _b.str
    snapshot_name: _b.str
    @_b.property
    def save_slice_info_def(self) -> SaveSliceInfoDef: ...
    is_resource: _b.bool
    trainable: _b.bool
    synchronization: _b.int
    aggregation: _b.int
    def __init__(self, *, variable_name: _b.str | None = ..., initial_value_name: _b.str | None = ..., initializer_name: _b.str | None = ..., snapshot_name: _b.str | None = ..., save_slice_info_def: SaveSliceInfoDef | None = ..., is_resource: _b.bool | None = ..., trainable: _b.bool | None = ..., synchronization: _b.int | None = ..., aggregation: _b.int | None = ...) -> None: ...

class SaveSliceInfoDef(_Message):
    DESCRIPTOR: _ClassVar[_Descriptor]  # type: ignore[misc]
    full_name: _b.str
    @_b.property
    def full_shape(self) -> _Scalars[_b.int]: ...
    @_b.property
    def var_offset(self) -> _Scalars[_b.int]: ...
    @_b.property
    def var_shape(self) -> _Scalars[_b.int]: ...
    def __init__(self, *, full_name: _b.str | None = ..., full_shape: _Iterable[_b.int] | None = ..., var_offset: _Iterable[_b.int] | None = ..., var_shape: _Iterable[_b.int] | None = ...) -> None: ...

# tensorflow/core/protobuf/cluster.proto

class JobDef(_Message):
    DESCRIPTOR: _ClassVar[_Descriptor]  # type: ignore[misc]
    name: _b.str
    @_b.property
    def tasks(self) -> _ScalarMap[_b.int, _b.str]: ...
    def __init__(self, *, name: _b.str | None = ..., tasks: _Mapping[_b.int, _b.str] | None = ...) -> None: ...

class ClusterDef(_Message):
    DESCRIPTOR: _ClassVar[_Descriptor]  # type: ignore[misc]
    @_b.property
    def job(self) -> _Messages[JobDef]: ...
    def __init__(self, *, job: _Iterable[JobDef] | None = ...) -> None: ...

# xla/tsl/protobuf/coordination_config.proto

class CoordinatedJob(_Message):
    DESCRIPTOR: _ClassVar[_Descriptor]  # type: ignore[misc]
    name: _b.str
    num_tasks: _b.int
    def __init__(self, *, name: _b.str | None = ..., num_tasks: _b.int | None = ...) -> None: ...

class CoordinationServiceConfig(_Message):
    DESCRIPTOR: _ClassVar[_Descriptor]  # type: ignore[misc]
    service_type: _b.str
    service_leader: _b.str
    enable_health_check: _b.bool
    cluster_register_timeout_in_ms: _b.int
    cluster_register_with_barrier: _b.bool
    heartbeat_timeout_in_ms: _b.int
    @_b.property
    def coordinated_job_list(self) -> _Messages[CoordinatedJob]: ...
    shutdown_barrier_timeout_in_ms: _b.int
    agent_destruction_without_shutdown: _b.bool
    @_b.property
    def recoverable_jobs(self) -> _Scalars[_b.str]: ...
    allow_new_incarnation_to_reconnect: _b.bool
    force_disable: _b.bool
    poll_for_error_from_service_at_startup: _b.bool
    def __init__(self, *, service_type: _b.str | None = ..., service_leader: _b.str | None = ..., enable_health_check: _b.bool | None = ..., cluster_register_timeout_in_ms: _b.int | None = ..., cluster_register_with_barrier: _b.bool | None = ..., heartbeat_timeout_in_ms: _b.int | None = ..., coordinated_job_list: _Iterable[CoordinatedJob] | None = ..., shutdown_barrier_timeout_in_ms: _b.int | None = ..., agent_destruction_without_shutdown: _b.bool | None = ..., recoverable_jobs: _Iterable[_b.str] | None = ..., allow_new_incarnation_to_reconnect: _b.bool | None = ..., force_disable: _b.bool | None = ..., poll_for_error_from_service_at_startup: _b.bool | None = ...) -> None: ...

# tensorflow/core/protobuf/debug.proto

class DebugTensorWatch(_Message):
    DESCRIPTOR: _ClassVar[_Descriptor]  # type: ignore[misc]
    node_name: _b.str
    output_slot: _b.int
    @_b.property
    def debug_ops(self) -> _Scalars[_b.str]: ...
    @_b.property
    def debug_urls(self) -> _Scalars[_b.str]: ...
    tolerate_debug_op_creation_failures: _b.bool
    def __init__(self, *, node_name: _b.str | None = ..., output_slot: _b.int | None = ..., debug_ops: _Iterable[_b.str] | None = ..., debug_urls: _Iterable[_b.str] | None = ..., tolerate_debug_op_creation_failures: _b.bool | None = ...) -> None: ...

class DebugOptions(_Message):
    DESCRIPTOR: _ClassVar[_Descriptor]  # type: ignore[misc]
    @_b.property
    def debug_tensor_watch_opts(self) -> _Messages[DebugTensorWatch]: ...
    global_step: _b.int
    reset_disk_byte_usage: _b.bool
    def __init__(self, *, debug_tensor_watch_opts: _Iterable[DebugTensorWatch] | None = ..., global_step: _b.int | None = ..., reset_disk_byte_usage: _b.bool | None = ...) -> None: ...

class DebuggedSourceFile(_Message):
    DESCRIPTOR: _ClassVar[_Descriptor]  # type: ignore[misc]
    host: _b.str
    file_path: _b.str
    last_modified: _b.int
    bytes: _b.int
    @_b.property
    def lines(self) -> _Scalars[_b.str]: ...
    def __init__(self, *, host: _b.str | None = ..., file_path: _b.str | None = ..., last_modified: _b.int | None = ..., bytes: _b.int | None = ..., lines: _Iterable[_b.str] | None = ...) -> None: ...

class DebuggedSourceFiles(_Message):
    DESCRIPTOR: _ClassVar[_Descriptor]  # type: ignore[misc]
    @_b.property
    def source_files(self) -> _Messages[DebuggedSourceFile]: ...
    def __init__(self, *, source_files: _Iterable[DebuggedSourceFile] | None = ...) -> None: ...

# tensorflow/core/protobuf/verifier_config.proto

class VerifierConfig(_Message):
    DESCRIPTOR: _ClassVar[_Descriptor]  # type: ignore[misc]
    class _Toggle(_Enum):
        DEFAULT: _b.int
        ON: _b.int
        OFF: _b.int
    Toggle: _ClassVar[_Toggle]
    DEFAULT: _ClassVar[_b.int]
    ON: _ClassVar[_b.int]
    OFF: _ClassVar[_b.int]
    verification_timeout_in_ms: _b.int
    structure_verifier: _b.int
    def __init__(self, *, verification_timeout_in_ms: _b.int | None = ..., structure_verifier: _b.int | None = ...) -> None: ...

# tensorflow/core/protobuf/rewriter_config.proto

class AutoParallelOptions(_Message):
    DESCRIPTOR: _ClassVar[_Descriptor]  # type: ignore[misc]
    enable: _b.bool
    num_replicas: _b.int
    def __init__(self, *, enable: _b.bool | None = ..., num_replicas: _b.int | None = ...) -> None: ...

class ScopedAllocatorOptions(_Message):
    DESCRIPTOR: _ClassVar[_Descriptor]  # type: ignore[misc]
    @_b.property
    def enable_op(self) -> _Scalars[_b.str]: ...
    def __init__(self, *, enable_op: _Iterable[_b.str] | None = ...) -> None: ...

class RewriterConfig(_Message):
    DESCRIPTOR: _ClassVar[_Descriptor]  # type: ignore[misc]
    class _Toggle(_Enum):
        DEFAULT: _b.int
        ON: _b.int
        OFF: _b.int
        AGGRESSIVE: _b.int
        EXPERIMENTAL_MLIR: _b.int
        EXPERIMENTAL_BOTH: _b.int
    Toggle: _ClassVar[_Toggle]
    DEFAULT: _ClassVar[_b.int]
    ON: _ClassVar[_b.int]
    OFF: _ClassVar[_b.int]
    AGGRESSIVE: _ClassVar[_b.int]
    EXPERIMENTAL_MLIR: _ClassVar[_b.int]
    EXPERIMENTAL_BOTH: _ClassVar[_b.int]
    class _CpuLayout(_Enum):
        NO_CONVERSION_ON_CPU: _b.int
        NCHW_TO_NHWC: _b.int
        NHWC_TO_NCHW: _b.int
    CpuLayout: _ClassVar[_CpuLayout]
    NO_CONVERSION_ON_CPU: _ClassVar[_b.int]
    NCHW_TO_NHWC: _ClassVar[_b.int]
    NHWC_TO_NCHW: _ClassVar[_b.int]
    class _NumIterationsType(_Enum):
        DEFAULT_NUM_ITERS: _b.int
        ONE: _b.int
        TWO: _b.int
    NumIterationsType: _ClassVar[_NumIterationsType]
    DEFAULT_NUM_ITERS: _ClassVar[_b.int]
    ONE: _ClassVar[_b.int]
    TWO: _ClassVar[_b.int]
    class _MemOptType(_Enum):
        DEFAULT_MEM_OPT: _b.int
        NO_MEM_OPT: _b.int
        MANUAL: _b.int
        SWAPPING_HEURISTICS: _b.int
        RECOMPUTATION_HEURISTICS: _b.int
        SCHEDULING_HEURISTICS: _b.int
        HEURISTICS: _b.int
    MemOptType: _ClassVar[_MemOptType]
    DEFAULT_MEM_OPT: _ClassVar[_b.int]
    NO_MEM_OPT: _ClassVar[_b.int]
    MANUAL: _ClassVar[_b.int]
    SWAPPING_HEURISTICS: _ClassVar[_b.int]
    RECOMPUTATION_HEURISTICS: _ClassVar[_b.int]
    SCHEDULING_HEURISTICS: _ClassVar[_b.int]
    HEURISTICS: _ClassVar[_b.int]
    class CustomGraphOptimizer(_Message):
        DESCRIPTOR: _ClassVar[_Descriptor]  # type: ignore[misc]
        name: _b.str
        @_b.property
        def parameter_map(self) -> _MessageMap[_b.str, AttrValue]: ...
        def __init__(self, *, name: _b.str | None = ..., parameter_map: _Mapping[_b.str, AttrValue] | None = ...) -> None: ...
    cpu_layout_conversion: _b.int
    layout_optimizer: _b.int
    constant_folding: _b.int
    shape_optimization: _b.int
    remapping: _b.int
    common_subgraph_elimination: _b.int
    arithmetic_optimization: _b.int
    dependency_optimization: _b.int
    loop_optimization: _b.int
    function_optimization: _b.int
    debug_stripper: _b.int
    disable_model_pruning: _b.bool
    scoped_allocator_optimization: _b.int
    pin_to_host_optimization: _b.int
    implementation_selector: _b.int
    auto_mixed_precision: _b.int
    auto_mixed_precision_mkl: _b.int
    auto_mixed_precision_onednn_bfloat16: _b.int
    auto_mixed_precision_cpu: _b.int
    disable_meta_optimizer: _b.bool
    disable_tfg_optimizer: _b.bool
    use_plugin_optimizers: _b.int
    experimental_conditional_code_motion: _b.int
    meta_optimizer_iterations: _b.int
    min_graph_nodes: _b.int
    experimental_disable_compressed_tensor_optimization: _b.bool
    experimental_disable_folding_quantization_emulation: _b.bool
    memory_optimization: _b.int
    memory_optimizer_target_node_name_scope: _b.str
    meta_optimizer_timeout_ms: _b.int
    @_b.property
    def auto_parallel(self) -> AutoParallelOptions: ...
    fail_on_optimizer_errors: _b.bool
    @_b.property
    def scoped_allocator_opts(self) -> ScopedAllocatorOptions: ...
    @_b.property
    def optimizers(self) -> _Scalars[_b.str]: ...
    @_b.property
    def custom_optimizers(self) -> _Messages[RewriterConfig.CustomGraphOptimizer]: ...
    @_b.property
    def inter_optimizer_verifier_config(self) -> VerifierConfig: ...
    @_b.property
    def post_optimization_verifier_config(self) -> VerifierConfig: ...
    def __init__(self, *, cpu_layout_conversion: _b.int | None = ..., layout_optimizer: _b.int | None = ..., constant_folding: _b.int | None = ..., shape_optimization: _b.int | None = ..., remapping: _b.int | None = ..., common_subgraph_elimination: _b.int | None = ..., arithmetic_optimization: _b.int | None = ..., dependency_optimization: _b.int | None = ..., loop_optimization: _b.int | None = ..., function_optimization: _b.int | None = ..., debug_stripper: _b.int | None = ..., disable_model_pruning: _b.bool | None = ..., scoped_allocator_optimization: _b.int | None = ..., pin_to_host_optimization: _b.int | None = ..., implementation_selector: _b.int | None = ..., auto_mixed_precision: _b.int | None = ..., auto_mixed_precision_mkl: _b.int | None = ..., auto_mixed_precision_onednn_bfloat16: _b.int | None = ..., auto_mixed_precision_cpu: _b.int | None = ..., disable_meta_optimizer: _b.bool | None = ..., disable_tfg_optimizer: _b.bool | None = ..., use_plugin_optimizers: _b.int | None = ..., experimental_conditional_code_motion: _b.int | None = ..., meta_optimizer_iterations: _b.int | None = ..., min_graph_nodes: _b.int | None = ..., experimental_disable_compressed_tensor_optimization: _b.bool | None = ..., experimental_disable_folding_quantization_emulation: _b.bool | None = ..., memory_optimization: _b.int | None = ..., memory_optimizer_target_node_name_scope: _b.str | None = ..., meta_optimizer_timeout_ms: _b.int | None = ..., auto_parallel: AutoParallelOptions | None = ..., fail_on_optimizer_errors: _b.bool | None = ..., scoped_allocator_opts: ScopedAllocatorOptions | None = ..., optimizers: _Iterable[_b.str] | None = ..., custom_optimizers: _Iterable[RewriterConfig.CustomGraphOptimizer] | None = ..., inter_optimizer_verifier_config: VerifierConfig | None = ..., post_optimization_verifier_config: VerifierConfig | None = ...) -> None: ...

# xla/tsl/protobuf/rpc_options.proto

class RPCOptions(_Message):
    DESCRIPTOR: _ClassVar[_Descriptor]  # type: ignore[misc]
    use_rpc_for_inprocess_master: _b.bool
    compression_algorithm: _b.str
    compression_level: _b.int
    cache_rpc_response: _b.bool
    disable_session_connection_sharing: _b.bool
    num_channels_per_target: _b.int
    def __init__(self, *, use_rpc_for_inprocess_master: _b.bool | None = ..., compression_algorithm: _b.str | None = ..., compression_level: _b.int | None = ..., cache_rpc_response: _b.bool | None = ..., disable_session_connection_sharing: _b.bool | None = ..., num_channels_per_target: _b.int | None = ...) -> None: ...

# tensorflow/core/protobuf/rpc_options.proto

# tensorflow/core/protobuf/config.proto

class GPUOptions(_Message):
    DESCRIPTOR: _ClassVar[_Descriptor]  # type: ignore[misc]
    class Experimental(_Message):
        DESCRIPTOR: _ClassVar[_Descriptor]  # type: ignore[misc]
        class VirtualDevices(_Message):
            DESCRIPTOR: _ClassVar[_Descriptor]  # type: ignore[misc]
            @_b.property
            def memory_limit_mb(self) -> _Scalars[_b.float]: ...
            @_b.property
            def priority(self) -> _Scalars[_b.int]: ...
            @_b.property
            def device_ordinal(self) -> _Scalars[_b.int]: ...
            def __init__(self, *, memory_limit_mb: _Iterable[_b.float] | None = ..., priority: _Iterable[_b.int] | None = ..., device_ordinal: _Iterable[_b.int] | None = ...) -> None: ...
        class StreamMergeOptions(_Message):
            DESCRIPTOR: _ClassVar[_Descriptor]  # type: ignore[misc]
            merge_host_to_device_stream: _b.bool
            merge_device_to_host_stream: _b.bool
            merge_device_to_device_stream: _b.bool
            def __init__(self, *, merge_host_to_device_stream: _b.bool | None = ..., merge_device_to_host_stream: _b.bool | None = ..., merge_device_to_device_stream: _b.bool | None = ...) -> None: ...
        @_b.property
        def virtual_devices(self) -> _Messages[GPUOptions.Experimental.VirtualDevices]: ...
        num_virtual_devices_per_gpu: _b.int
        use_unified_memory: _b.bool
        num_dev_to_dev_copy_streams: _b.int
        collective_ring_order: _b.str
        timestamped_allocator: _b.bool
        kernel_tracker_max_interval: _b.int
        kernel_tracker_max_bytes: _b.int
        kernel_tracker_max_pending: _b.int
        internal_fragmentation_fraction: _b.float
        use_cuda_malloc_async: _b.bool
        disallow_retry_on_allocation_failure: _b.bool
        gpu_host_mem_limit_in_mb: _b.float
        gpu_host_mem_disallow_growth: _b.bool
        gpu_system_memory_size_in_mb: _b.int
        populate_pjrt_gpu_client_creation_info: _b.bool
        node_id: _b.int
        @_b.property
        def stream_merge_options(self) -> GPUOptions.Experimental.StreamMergeOptions: ...
        def __init__(self, *, virtual_devices: _Iterable[GPUOptions.Experimental.VirtualDevices] | None = ..., num_virtual_devices_per_gpu: _b.int | None = ..., use_unified_memory: _b.bool | None = ..., num_dev_to_dev_copy_streams: _b.int | None = ..., collective_ring_order: _b.str | None = ..., timestamped_allocator: _b.bool | None = ..., kernel_tracker_max_interval: _b.int | None = ..., kernel_tracker_max_bytes: _b.int | None = ..., kernel_tracker_max_pending: _b.int | None = ..., internal_fragmentation_fraction: _b.float | None = ..., use_cuda_malloc_async: _b.bool | None = ..., disallow_retry_on_allocation_failure: _b.bool | None = ..., gpu_host_mem_limit_in_mb: _b.float | None = ..., gpu_host_mem_disallow_growth: _b.bool | None = ..., gpu_system_memory_size_in_mb: _b.int | None = ..., populate_pjrt_gpu_client_creation_info: _b.bool | None = ..., node_id: _b.int | None = ..., stream_merge_options: GPUOptions.Experimental.StreamMergeOptions | None = ...) -> None: ...
    per_process_gpu_memory_fraction: _b.float
    allow_growth: _b.bool
    allocator_type: _b.str
    deferred_deletion_bytes: _b.int
    visible_device_list: _b.str
    polling_active_delay_usecs: _b.int
    polling_inactive_delay_msecs: _b.int
    force_gpu_compatible: _b.bool
    @_b.property
    def experimental(self) -> GPUOptions.Experimental: ...
    def __init__(self, *, per_process_gpu_memory_fraction: _b.float | None = ..., allow_growth: _b.bool | None = ..., allocator_type: _b.str | None = ..., deferred_deletion_bytes: _b.int | None = ..., visible_device_list: _b.str | None = ..., polling_active_delay_usecs: _b.int | None = ..., polling_inactive_delay_msecs: _b.int | None = ..., force_gpu_compatible: _b.bool | None = ..., experimental: GPUOptions.Experimental | None = ...) -> None: ...

class OptimizerOptions(_Message):
    DESCRIPTOR: _ClassVar[_Descriptor]  # type: ignore[misc]
    class _Level(_Enum):
        L1: _b.int
        L0: _b.int
    Level: _ClassVar[_Level]
    L1: _ClassVar[_b.int]
    L0: _ClassVar[_b.int]
    class _GlobalJitLevel(_Enum):
        DEFAULT: _b.int
        OFF: _b.int
        ON_1: _b.int
        ON_2: _b.int
    GlobalJitLevel: _ClassVar[_GlobalJitLevel]
    DEFAULT: _ClassVar[_b.int]
    OFF: _ClassVar[_b.int]
    ON_1: _ClassVar[_b.int]
    ON_2: _ClassVar[_b.int]
    do_common_subexpression_elimination: _b.bool
    do_constant_folding: _b.bool
    max_folded_constant_in_bytes: _b.int
    do_function_inlining: _b.bool
    opt_level: _b.int
    global_jit_level: _b.int
    cpu_global_jit: _b.bool
    def __init__(self, *, do_common_subexpression_elimination: _b.bool | None = ..., do_constant_folding: _b.bool | None = ..., max_folded_constant_in_bytes: _b.int | None = ..., do_function_inlining: _b.bool | None = ..., opt_level: _b.int | None = ..., global_jit_level: _b.int | None = ..., cpu_global_jit: _b.bool | None = ...) -> None: ...

class GraphOptions(_Message):
    DESCRIPTOR: _ClassVar[_Descriptor]  # type: ignore[misc]
    enable_recv_scheduling: _b.bool
    @_b.property
    def optimizer_options(self) -> OptimizerOptions: ...
    build_cost_model: _b.int
    build_cost_model_after: _b.int
    infer_shapes: _b.bool
    place_pruned_graph: _b.bool
    enable_bfloat16_sendrecv: _b.bool
    timeline_step: _b.int
    @_b.property
    def rewrite_options(self) -> RewriterConfig: ...
    def __init__(self, *, enable_recv_scheduling: _b.bool | None = ..., optimizer_options: OptimizerOptions | None = ..., build_cost_model: _b.int | None = ..., build_cost_model_after: _b.int | None = ..., infer_shapes: _b.bool | None = ..., place_pruned_graph: _b.bool | None = ..., enable_bfloat16_sendrecv: _b.bool | None = ..., timeline_step: _b.int | None = ..., rewrite_options: RewriterConfig | None = ...) -> None: ...

class ThreadPoolOptionProto(_Message):
    DESCRIPTOR: _ClassVar[_Descriptor]  # type: ignore[misc]
    num_threads: _b.int
    global_name: _b.str
    def __init__(self, *, num_threads: _b.int | None = ..., global_name: _b.str | None = ...) -> None: ...

class SessionMetadata(_Message):
    DESCRIPTOR: _ClassVar[_Descriptor]  # type: ignore[misc]
    name: _b.str
    version: _b.int
    def __init__(self, *, name: _b.str | None = ..., version: _b.int | None = ...) -> None: ...

class ConfigProto(_Message):
    DESCRIPTOR: _ClassVar[_Descriptor]  # type: ignore[misc]
    class Experimental(_Message):
        DESCRIPTOR: _ClassVar[_Descriptor]  # type: ignore[misc]
        class _MlirBridgeRollout(_Enum):
            MLIR_BRIDGE_ROLLOUT_UNSPECIFIED: _b.int
            MLIR_BRIDGE_ROLLOUT_ENABLED: _b.int
            MLIR_BRIDGE_ROLLOUT_DISABLED: _b.int
        MlirBridgeRollout: _ClassVar[_MlirBridgeRollout]
        MLIR_BRIDGE_ROLLOUT_UNSPECIFIED: _ClassVar[_b.int]
        MLIR_BRIDGE_ROLLOUT_ENABLED: _ClassVar[_b.int]
        MLIR_BRIDGE_ROLLOUT_DISABLED: _ClassVar[_b.int]
        collective_group_leader: _b.str
        executor_type: _b.str
        recv_buf_max_chunk: _b.int
        use_numa_affinity: _b.bool
        collective_deterministic_sequential_execution: _b.bool
        collective_nccl: _b.bool
        share_session_state_in_clusterspec_propagation: _b.bool
        disable_thread_spinning: _b.bool
        share_cluster_devices_in_session: _b.bool
        @_b.property
        def session_metadata(self) -> SessionMetadata: ...
        optimize_for_static_graph: _b.bool
        enable_mlir_bridge: _b.bool
        mlir_bridge_rollout: _b.int
        enable_mlir_graph_optimization: _b.bool
        disable_output_partition_graphs: _b.bool
        xla_fusion_autotuner_thresh: _b.int
        use_tfrt: _b.bool
        enable_multi_host: _b.bool
        tfrt_use_ifrt: _b.bool
        backend_server_port: _b.int
        target_tpu: _b.bool
        target_gpu: _b.bool
        stream_merge_threshold: _b.int
        disable_functional_ops_lowering: _b.bool
        xla_prefer_single_graph_cluster: _b.bool
        @_b.property
        def coordination_config(self) -> CoordinationServiceConfig: ...
        disable_optimize_for_static_graph: _b.bool
        disable_eager_executor_streaming_enqueue: _b.bool
        finalize_function_library_runtime: _b.bool
        finalize_resource_manager: _b.bool
        tf2xla_dump_dir: _b.str
        online_cost_analysis: _b.bool
        def __init__(self, *, collective_group_leader: _b.str | None = ..., executor_type: _b.str | None = ..., recv_buf_max_chunk: _b.int | None = ..., use_numa_affinity: _b.bool | None = ..., collective_deterministic_sequential_execution: _b.bool | None = ..., collective_nccl: _b.bool | None = ..., share_session_state_in_clusterspec_propagation: _b.bool | None = ..., disable_thread_spinning: _b.bool | None = ..., share_cluster_devices_in_session: _b.bool | None = ..., session_metadata: SessionMetadata | None = ..., optimize_for_static_graph: _b.bool | None = ..., enable_mlir_bridge: _b.bool | None = ..., mlir_bridge_rollout: _b.int | None = ..., enable_mlir_graph_optimization: _b.bool | None = ..., disable_output_partition_graphs: _b.bool | None = ..., xla_fusion_autotuner_thresh: _b.int | None = ..., use_tfrt: _b.bool | None = ..., enable_multi_host: _b.bool | None = ..., tfrt_use_ifrt: _b.bool | None = ..., backend_server_port: _b.int | None = ..., target_tpu: _b.bool | None = ..., target_gpu: _b.bool | None = ..., stream_merge_threshold: _b.int | None = ..., disable_functional_ops_lowering: _b.bool | None = ..., xla_prefer_single_graph_cluster: _b.bool | None = ..., coordination_config: CoordinationServiceConfig | None = ..., disable_optimize_for_static_graph: _b.bool | None = ..., disable_eager_executor_streaming_enqueue: _b.bool | None = ..., finalize_function_library_runtime: _b.bool | None = ..., finalize_resource_manager: _b.bool | None = ..., tf2xla_dump_dir: _b.str | None = ..., online_cost_analysis: _b.bool | None = ...) -> None: ...
    @_b.property
    def device_count(self) -> _ScalarMap[_b.str, _b.int]: ...
    intra_op_parallelism_threads: _b.int
    inter_op_parallelism_threads: _b.int
    use_per_session_threads: _b.bool
    @_b.property
    def session_inter_op_thread_pool(self) -> _Messages[ThreadPoolOptionProto]: ...
    placement_period: _b.int
    @_b.property
    def device_filters(self) -> _Scalars[_b.str]: ...
    @_b.property
    def gpu_options(self) -> GPUOptions: ...
    @_b.property
    def pluggable_device_options(self) -> GPUOptions: ...
    allow_soft_placement: _b.bool
    log_device_placement: _b.bool
    @_b.property
    def graph_options(self) -> GraphOptions: ...
    operation_timeout_in_ms: _b.int
    @_b.property
    def rpc_options(self) -> RPCOptions: ...
    @_b.property
    def cluster_def(self) -> ClusterDef: ...
    isolate_session_state: _b.bool
    share_cluster_devices_in_session: _b.bool
    @_b.property
    def experimental(self) -> ConfigProto.Experimental: ...
    def __init__(self, *, device_count: _Mapping[_b.str, _b.int] | None = ..., intra_op_parallelism_threads: _b.int | None = ..., inter_op_parallelism_threads: _b.int | None = ..., use_per_session_threads: _b.bool | None = ..., session_inter_op_thread_pool: _Iterable[ThreadPoolOptionProto] | None = ..., placement_period: _b.int | None = ..., device_filters: _Iterable[_b.str] | None = ..., gpu_options: GPUOptions | None = ..., pluggable_device_options: GPUOptions | None = ..., allow_soft_placement: _b.bool | None = ..., log_device_placement: _b.bool | None = ..., graph_options: GraphOptions | None = ..., operation_timeout_in_ms: _b.int | None = ..., rpc_options: RPCOptions | None = ..., cluster_def: ClusterDef | None = ..., isolate_session_state: _b.bool | None = ..., share_cluster_devices_in_session: _b.bool | None = ..., experimental: ConfigProto.Experimental | None = ...) -> None: ...

class RunOptions(_Message):
    DESCRIPTOR: _ClassVar[_Descriptor]  # type: ignore[misc]
    class _TraceLevel(_Enum):
        NO_TRACE: _b.int
        SOFTWARE_TRACE: _b.int
        HARDWARE_TRACE: _b.int
        FULL_TRACE: _b.int
    TraceLevel: _ClassVar[_TraceLevel]
    NO_TRACE: _ClassVar[_b.int]
    SOFTWARE_TRACE: _ClassVar[_b.int]
    HARDWARE_TRACE: _ClassVar[_b.int]
    FULL_TRACE: _ClassVar[_b.int]
    class Experimental(_Message):
        DESCRIPTOR: _ClassVar[_Descriptor]  # type: ignore[misc]
        class RunHandlerPoolOptions(_Message):
            DESCRIPTOR: _ClassVar[_Descriptor]  # type: ignore[misc]
            priority: _b.int
            def __init__(self, *, priority: _b.int | None = ...) -> None: ...
        collective_graph_key: _b.int
        use_run_handler_pool: _b.bool
        @_b.property
        def run_handler_pool_options(self) -> RunOptions.Experimental.RunHandlerPoolOptions: ...
        def __init__(self, *, collective_graph_key: _b.int | None = ..., use_run_handler_pool: _b.bool | None = ..., run_handler_pool_options: RunOptions.Experimental.RunHandlerPoolOptions | None = ...) -> None: ...
    trace_level: _b.int
    timeout_in_ms: _b.int
    inter_op_thread_pool: _b.int
    output_partition_graphs: _b.bool
    @_b.property
    def debug_options(self) -> DebugOptions: ...
    report_tensor_allocations_upon_oom: _b.bool
    @_b.property
    def experimental(self) -> RunOptions.Experimental: ...
    def __init__(self, *, trace_level: _b.int | None = ..., timeout_in_ms: _b.int | None = ..., inter_op_thread_pool: _b.int | None = ..., output_partition_graphs: _b.bool | None = ..., debug_options: DebugOptions | None = ..., report_tensor_allocations_upon_oom: _b.bool | None = ..., experimental: RunOptions.Experimental | None = ...) -> None: ...

class RunMetadata(_Message):
    DESCRIPTOR: _ClassVar[_Descriptor]  # type: ignore[misc]
    class FunctionGraphs(_Message):
        DESCRIPTOR: _ClassVar[_Descriptor]  # type: ignore[misc]
        @_b.property
        def partition_graphs(self) -> _Messages[GraphDef]: ...
        @_b.property
        def pre_optimization_graph(self) -> GraphDef: ...
        @_b.property
        def post_optimization_graph(self) -> GraphDef: ...
        def __init__(self, *, partition_graphs: _Iterable[GraphDef] | None = ..., pre_optimization_graph: GraphDef | None = ..., post_optimization_graph: GraphDef | None = ...) -> None: ...
    @_b.property
    def step_stats(self) -> StepStats: ...
    @_b.property
    def cost_graph(self) -> CostGraphDef: ...
    @_b.property
    def partition_graphs(self) -> _Messages[GraphDef]: ...
    @_b.property
    def function_graphs(self) -> _Messages[RunMetadata.FunctionGraphs]: ...
    @_b.property
    def session_metadata(self) -> SessionMetadata: ...
    def __init__(self, *, step_stats: StepStats | None = ..., cost_graph: CostGraphDef | None = ..., partition_graphs: _Iterable[GraphDef] | None = ..., function_graphs: _Iterable[RunMetadata.FunctionGraphs] | None = ..., session_metadata: SessionMetadata | None = ...) -> None: ...

class TensorConnection(_Message):
    DESCRIPTOR: _ClassVar[_Descriptor]  # type: ignore[misc]
    from_tensor: _b.str
    to_tensor: _b.str
    def __init__(self, *, from_tensor: _b.str | None = ..., to_tensor: _b.str | None = ...) -> None: ...

class CallableOptions(_Message):
    DESCRIPTOR: _ClassVar[_Descriptor]  # type: ignore[misc]
    @_b.property
    def feed(self) -> _Scalars[_b.str]: ...
    @_b.property
    def fetch(self) -> _Scalars[_b.str]: ...
    @_b.property
    def target(self) -> _Scalars[_b.str]: ...
    @_b.property
    def run_options(self) -> RunOptions: ...
    @_b.property
    def tensor_connection(self) -> _Messages[TensorConnection]: ...
    @_b.property
    def feed_devices(self) -> _ScalarMap[_b.str, _b.str]: ...
    @_b.property
    def fetch_devices(self) -> _ScalarMap[_b.str, _b.str]: ...
    fetch_skip_sync: _b.bool
    def __init__(self, *, feed: _Iterable[_b.str] | None = ..., fetch: _Iterable[_b.str] | None = ..., target: _Iterable[_b.str] | None = ..., run_options: RunOptions | None = ..., tensor_connection: _Iterable[TensorConnection] | None = ..., feed_devices: _Mapping[_b.str, _b.str] | None = ..., fetch_devices: _Mapping[_b.str, _b.str] | None = ..., fetch_skip_sync: _b.bool | None = ...) -> None: ...

class BatchingOptions(_Message):
    DESCRIPTOR: _ClassVar[_Descriptor]  # type: ignore[misc]
    num_batch_threads: _b.int
    max_batch_size: _b.int
    batch_timeout_micros: _b.int
    @_b.property
    def allowed_batch_sizes(self) -> _Scalars[_b.int]: ...
    max_enqueued_batches: _b.int
    def __init__(self, *, num_batch_threads: _b.int | None = ..., max_batch_size: _b.int | None = ..., batch_timeout_micros: _b.int | None = ..., allowed_batch_sizes: _Iterable[_b.int] | None = ..., max_enqueued_batches: _b.int | None = ...) -> None: ...

# xla/tsl/protobuf/error_codes.proto

class _Code(_Enum):
    OK: _b.int
    CANCELLED: _b.int
    UNKNOWN: _b.int
    INVALID_ARGUMENT: _b.int
    DEADLINE_EXCEEDED: _b.int
    NOT_FOUND: _b.int
    ALREADY_EXISTS: _b.int
    PERMISSION_DENIED: _b.int
    UNAUTHENTICATED: _b.int
    RESOURCE_EXHAUSTED: _b.int
    FAILED_PRECONDITION: _b.int
    ABORTED: _b.int
    OUT_OF_RANGE: _b.int
    UNIMPLEMENTED: _b.int
    INTERNAL: _b.int
    UNAVAILABLE: _b.int
    DATA_LOSS: _b.int
    DO_NOT_USE_RESERVED_FOR_FUTURE_EXPANSION_USE_DEFAULT_IN_SWITCH_INSTEAD_: _b.int
Code: _Final[_Code]

# tensorflow/core/protobuf/error_codes.proto

# google/protobuf/any.proto

class Any(_Message, _AnyMethods):
    DESCRIPTOR: _ClassVar[_Descriptor]  # type: ignore[misc]
    type_url: _b.str
    value: _b.bytes
    def __init__(self, *, type_url: _b.str | None = ..., value: _b.bytes | None = ...) -> None: ...

# tensorflow/core/protobuf/struct.proto

class StructuredValue(_Message):
    DESCRIPTOR: _ClassVar[_Descriptor]  # type: ignore[misc]
    @_b.property
    def none_value(self) -> NoneValue: ...
    float64_value: _b.float
    int64_value: _b.int
    string_value: _b.str
    bool_value: _b.bool
    @_b.property
    def tensor_shape_value(self) -> TensorShapeProto: ...
    tensor_dtype_value: _b.int
    @_b.property
    def tensor_spec_value(self) -> TensorSpecProto: ...
    @_b.property
    def type_spec_value(self) -> TypeSpecProto: ...
    @_b.property
    def bounded_tensor_spec_value(self) -> BoundedTensorSpecProto: ...
    @_b.property
    def list_value(self) -> ListValue: ...
    @_b.property
    def tuple_value(self) -> TupleValue: ...
    @_b.property
    def dict_value(self) -> DictValue: ...
    @_b.property
    def named_tuple_value(self) -> NamedTupleValue: ...
    @_b.property
    def tensor_value(self) -> TensorProto: ...
    @_b.property
    def numpy_value(self) -> TensorProto: ...
    def __init__(self, *, none_value: NoneValue | None = ..., float64_value: _b.float | None = ..., int64_value: _b.int | None = ..., string_value: _b.str | None = ..., bool_value: _b.bool | None = ..., tensor_shape_value: TensorShapeProto | None = ..., tensor_dtype_value: _b.int | None = ..., tensor_spec_value: TensorSpecProto | None = ..., type_spec_value: TypeSpecProto | None = ..., bounded_tensor_spec_value: BoundedTensorSpecProto | None = ..., list_value: ListValue | None = ..., tuple_value: TupleValue | None = ..., dict_value: DictValue | None = ..., named_tuple_value: NamedTupleValue | None = ..., tensor_value: TensorProto | None = ..., numpy_value: TensorProto | None = ...) -> None: ...

class NoneValue(_Message):
    DESCRIPTOR: _ClassVar[_Descriptor]  # type: ignore[misc]
    def __init__(self) -> None: ...

class ListValue(_Message):
    DESCRIPTOR: _ClassVar[_Descriptor]  # type: ignore[misc]
    @_b.property
    def values(self) -> _Messages[StructuredValue]: ...
    def __init__(self, *, values: _Iterable[StructuredValue] | None = ...) -> None: ...

class TupleValue(_Message):
    DESCRIPTOR: _ClassVar[_Descriptor]  # type: ignore[misc]
    @_b.property
    def values(self) -> _Messages[StructuredValue]: ...
    def __init__(self, *, values: _Iterable[StructuredValue] | None = ...) -> None: ...

class DictValue(_Message):
    DESCRIPTOR: _ClassVar[_Descriptor]  # type: ignore[misc]
    @_b.property
    def fields(self) -> _MessageMap[_b.str, StructuredValue]: ...
    def __init__(self, *, fields: _Mapping[_b.str, StructuredValue] | None = ...) -> None: ...

class PairValue(_Message):
    DESCRIPTOR: _ClassVar[_Descriptor]  # type: ignore[misc]
    key: _b.str
    @_b.property
    def value(self) -> StructuredValue: ...
    def __init__(self, *, key: _b.str | None = ..., value: StructuredValue | None = ...) -> None: ...

class NamedTupleValue(_Message):
    DESCRIPTOR: _ClassVar[_Descriptor]  # type: ignore[misc]
    name: _b.str
    @_b.property
    def values(self) -> _Messages[PairValue]: ...
    def __init__(self, *, name: _b.str | None = ..., values: _Iterable[PairValue] | None = ...) -> None: ...

class TensorSpecProto(_Message):
    DESCRIPTOR: _ClassVar[_Descriptor]  # type: ignore[misc]
    name: _b.str
    @_b.property
    def shape(self) -> TensorShapeProto: ...
    dtype: _b.int
    def __init__(self, *, name: _b.str | None = ..., shape: TensorShapeProto | None = ..., dtype: _b.int | None = ...) -> None: ...

class BoundedTensorSpecProto(_Message):
    DESCRIPTOR: _ClassVar[_Descriptor]  # type: ignore[misc]
    name: _b.str
    @_b.property
    def shape(self) -> TensorShapeProto: ...
    dtype: _b.int
    @_b.property
    def minimum(self) -> TensorProto: ...
    @_b.property
    def maximum(self) -> TensorProto: ...
    def __init__(self, *, name: _b.str | None = ..., shape: TensorShapeProto | None = ..., dtype: _b.int | None = ..., minimum: TensorProto | None = ..., maximum: TensorProto | None = ...) -> None: ...

class TypeSpecProto(_Message):
    DESCRIPTOR: _ClassVar[_Descriptor]  # type: ignore[misc]
    class _TypeSpecClass(_Enum):
        UNKNOWN: _b.int
        SPARSE_TENSOR_SPEC: _b.int
        INDEXED_SLICES_SPEC: _b.int
        RAGGED_TENSOR_SPEC: _b.int
        TENSOR_ARRAY_SPEC: _b.int
        DATA_DATASET_SPEC: _b.int
        DATA_ITERATOR_SPEC: _b.int
        OPTIONAL_SPEC: _b.int
        PER_REPLICA_SPEC: _b.int
        VARIABLE_SPEC: _b.int
        ROW_PARTITION_SPEC: _b.int
        REGISTERED_TYPE_SPEC: _b.int
        EXTENSION_TYPE_SPEC: _b.int
    TypeSpecClass: _ClassVar[_TypeSpecClass]
    UNKNOWN: _ClassVar[_b.int]
    SPARSE_TENSOR_SPEC: _ClassVar[_b.int]
    INDEXED_SLICES_SPEC: _ClassVar[_b.int]
    RAGGED_TENSOR_SPEC: _ClassVar[_b.int]
    TENSOR_ARRAY_SPEC: _ClassVar[_b.int]
    DATA_DATASET_SPEC: _ClassVar[_b.int]
    DATA_ITERATOR_SPEC: _ClassVar[_b.int]
    OPTIONAL_SPEC: _ClassVar[_b.int]
    PER_REPLICA_SPEC: _ClassVar[_b.int]
    VARIABLE_SPEC: _ClassVar[_b.int]
    ROW_PARTITION_SPEC: _ClassVar[_b.int]
    REGISTERED_TYPE_SPEC: _ClassVar[_b.int]
    EXTENSION_TYPE_SPEC: _ClassVar[_b.int]
    type_spec_class: _b.int
    @_b.property
    def type_state(self) -> StructuredValue: ...
    type_spec_class_name: _b.str
    num_flat_components: _b.int
    def __init__(self, *, type_spec_class: _b.int | None = ..., type_state: StructuredValue | None = ..., type_spec_class_name: _b.str | None = ..., num_flat_components: _b.int | None = ...) -> None: ...

# google/protobuf/wrappers.proto

class DoubleValue(_Message):
    DESCRIPTOR: _ClassVar[_Descriptor]  # type: ignore[misc]
    value: _b.float
    def __init__(self, *, value: _b.float | None = ...) -> None: ...

class FloatValue(_Message):
    DESCRIPTOR: _ClassVar[_Descriptor]  # type: ignore[misc]
    value: _b.float
    def __init__(self, *, value: _b.float | None = ...) -> None: ...

class Int64Value(_Message):
    DESCRIPTOR: _ClassVar[_Descriptor]  # type: ignore[misc]
    value: _b.int
    def __init__(self, *, value: _b.int | None = ...) -> None: ...

class UInt64Value(_Message):
    DESCRIPTOR: _ClassVar[_Descriptor]  # type: ignore[misc]
    value: _b.int
    def __init__(self, *, value: _b.int | None = ...) -> None: ...

class Int32Value(_Message):
    DESCRIPTOR: _ClassVar[_Descriptor]  # type: ignore[misc]
    value: _b.int
    def __init__(self, *, value: _b.int | None = ...) -> None: ...

class UInt32Value(_Message):
    DESCRIPTOR: _ClassVar[_Descriptor]  # type: ignore[misc]
    value: _b.int
    def __init__(self, *, value: _b.int | None = ...) -> None: ...

class BoolValue(_Message):
    DESCRIPTOR: _ClassVar[_Descriptor]  # type: ignore[misc]
    value: _b.bool
    def __init__(self, *, value: _b.bool | None = ...) -> None: ...

class StringValue(_Message):
    DESCRIPTOR: _ClassVar[_Descriptor]  # type: ignore[misc]
    value: _b.str
    def __init__(self, *, value: _b.str | None = ...) -> None: ...

class BytesValue(_Message):
    DESCRIPTOR: _ClassVar[_Descriptor]  # type: ignore[misc]
    value: _b.bytes
    def __init__(self, *, value: _b.bytes | None = ...) -> None: ...

# tensorflow/core/protobuf/trackable_object_graph.proto

class TrackableObjectGraph(_Message):
    DESCRIPTOR: _ClassVar[_Descriptor]  # type: ignore[misc]
    class TrackableObject(_Message):
        DESCRIPTOR: _ClassVar[_Descriptor]  # type: ignore[misc]
        class ObjectReference(_Message):
            DESCRIPTOR: _ClassVar[_Descriptor]  # type: ignore[misc]
            node_id: _b.int
            local_name: _b.str
            def __init__(self, *, node_id: _b.int | None = ..., local_name: _b.str | None = ...) -> None: ...
        class SerializedTensor(_Message):
            DESCRIPTOR: _ClassVar[_Descriptor]  # type: ignore[misc]
            name: _b.str
            full_name: _b.str
            checkpoint_key: _b.str
            def __init__(self, *, name: _b.str | None = ..., full_name: _b.str | None = ..., checkpoint_key: _b.str | None = ...) -> None: ...
        class SlotVariableReference(_Message):
            DESCRIPTOR: _ClassVar[_Descriptor]  # type: ignore[misc]
            original_variable_node_id: _b.int
            slot_name: _b.str
            slot_variable_node_id: _b.int
            def __init__(self, *, original_variable_node_id: _b.int | None = ..., slot_name: _b.str | None = ..., slot_variable_node_id: _b.int | None = ...) -> None: ...
        @_b.property
        def children(self) -> _Messages[TrackableObjectGraph.TrackableObject.ObjectReference]: ...
        @_b.property
        def attributes(self) -> _Messages[TrackableObjectGraph.TrackableObject.SerializedTensor]: ...
        @_b.property
        def slot_variables(self) -> _Messages[TrackableObjectGraph.TrackableObject.SlotVariableReference]: ...
        @_b.property
        def registered_saver(self) -> RegisteredSaver: ...
        @_b.property
        def has_checkpoint_values(self) -> BoolValue: ...
        def __init__(self, *, children: _Iterable[TrackableObjectGraph.TrackableObject.ObjectReference] | None = ..., attributes: _Iterable[TrackableObjectGraph.TrackableObject.SerializedTensor] | None = ..., slot_variables: _Iterable[TrackableObjectGraph.TrackableObject.SlotVariableReference] | None = ..., registered_saver: RegisteredSaver | None = ..., has_checkpoint_values: BoolValue | None = ...) -> None: ...
    @_b.property
    def nodes(self) -> _Messages[TrackableObjectGraph.TrackableObject]: ...
    def __init__(self, *, nodes: _Iterable[TrackableObjectGraph.TrackableObject] | None = ...) -> None: ...

class RegisteredSaver(_Message):
    DESCRIPTOR: _ClassVar[_Descriptor]  # type: ignore[misc]
    name: _b.str
    object_name: _b.str
    def __init__(self, *, name: _b.str | None = ..., object_name: _b.str | None = ...) -> None: ...

# tensorflow/core/protobuf/saved_object_graph.proto

class SavedObjectGraph(_Message):
    DESCRIPTOR: _ClassVar[_Descriptor]  # type: ignore[misc]
    @_b.property
    def nodes(self) -> _Messages[SavedObject]: ...
    @_b.property
    def concrete_functions(self) -> _MessageMap[_b.str, SavedConcreteFunction]: ...
    def __init__(self, *, nodes: _Iterable[SavedObject] | None = ..., concrete_functions: _Mapping[_b.str, SavedConcreteFunction] | None = ...) -> None: ...

class SavedObject(_Message):
    DESCRIPTOR: _ClassVar[_Descriptor]  # type: ignore[misc]
    @_b.property
    def children(self) -> _Messages[TrackableObjectGraph.TrackableObject.ObjectReference]: ...
    @_b.property
    def dependencies(self) -> _Messages[TrackableObjectGraph.TrackableObject.ObjectReference]: ...
    @_b.property
    def slot_variables(self) -> _Messages[TrackableObjectGraph.TrackableObject.SlotVariableReference]: ...
    @_b.property
    def user_object(self) -> SavedUserObject: ...
    @_b.property
    def asset(self) -> SavedAsset: ...
    @_b.property
    def function(self) -> SavedFunction: ...
    @_b.property
    def variable(self) -> SavedVariable: ...
    @_b.property
    def bare_concrete_function(self) -> SavedBareConcreteFunction: ...
    @_b.property
    def constant(self) -> SavedConstant: ...
    @_b.property
    def resource(self) -> SavedResource: ...
    @_b.property
    def captured_tensor(self) -> CapturedTensor: ...
    @_b.property
    def saveable_objects(self) -> _MessageMap[_b.str, SaveableObject]: ...
    registered_name: _b.str
    @_b.property
    def serialized_user_proto(self) -> Any: ...
    registered_saver: _b.str
    def __init__(self, *, children: _Iterable[TrackableObjectGraph.TrackableObject.ObjectReference] | None = ..., dependencies: _Iterable[TrackableObjectGraph.TrackableObject.ObjectReference] | None = ..., slot_variables: _Iterable[TrackableObjectGraph.TrackableObject.SlotVariableReference] | None = ..., user_object: SavedUserObject | None = ..., asset: SavedAsset | None = ..., function: SavedFunction | None = ..., variable: SavedVariable | None = ..., bare_concrete_function: SavedBareConcreteFunction | None = ..., constant: SavedConstant | None = ..., resource: SavedResource | None = ..., captured_tensor: CapturedTensor | None = ..., saveable_objects: _Mapping[_b.str, SaveableObject] | None = ..., registered_name: _b.str | None = ..., serialized_user_proto: Any | None = ..., registered_saver: _b.str | None = ...) -> None: ...

class SavedUserObject(_Message):
    DESCRIPTOR: _ClassVar[_Descriptor]  # type: ignore[misc]
    identifier: _b.str
    @_b.property
    def version(self) -> VersionDef: ...
    metadata: _b.str
    def __init__(self, *, identifier: _b.str | None = ..., version: VersionDef | None = ..., metadata: _b.str | None = ...) -> None: ...

class SavedAsset(_Message):
    DESCRIPTOR: _ClassVar[_Descriptor]  # type: ignore[misc]
    asset_file_def_index: _b.int
    def __init__(self, *, asset_file_def_index: _b.int | None = ...) -> None: ...

class SavedFunction(_Message):
    DESCRIPTOR: _ClassVar[_Descriptor]  # type: ignore[misc]
    @_b.property
    def concrete_functions(self) -> _Scalars[_b.str]: ...
    @_b.property
    def function_spec(self) -> FunctionSpec: ...
    def __init__(self, *, concrete_functions: _Iterable[_b.str] | None = ..., function_spec: FunctionSpec | None = ...) -> None: ...

class CapturedTensor(_Message):
    DESCRIPTOR: _ClassVar[_Descriptor]  # type: ignore[misc]
    name: _b.str
    concrete_function: _b.str
    def __init__(self, *, name: _b.str | None = ..., concrete_function: _b.str | None = ...) -> None: ...

class SavedConcreteFunction(_Message):
    DESCRIPTOR: _ClassVar[_Descriptor]  # type: ignore[misc]
    @_b.property
    def bound_inputs(self) -> _Scalars[_b.int]: ...
    @_b.property
    def canonicalized_input_signature(self) -> StructuredValue: ...
    @_b.property
    def output_signature(self) -> StructuredValue: ...
    def __init__(self, *, bound_inputs: _Iterable[_b.int] | None = ..., canonicalized_input_signature: StructuredValue | None = ..., output_signature: StructuredValue | None = ...) -> None: ...

class SavedBareConcreteFunction(_Message):
    DESCRIPTOR: _ClassVar[_Descriptor]  # type: ignore[misc]
    concrete_function_name: _b.str
    @_b.property
    def argument_keywords(self) -> _Scalars[_b.str]: ...
    allowed_positional_arguments: _b.int
    @_b.property
    def function_spec(self) -> FunctionSpec: ...
    def __init__(self, *, concrete_function_name: _b.str | None = ..., argument_keywords: _Iterable[_b.str] | None = ..., allowed_positional_arguments: _b.int | None = ..., function_spec: FunctionSpec | None = ...) -> None: ...

class SavedConstant(_Message):
    DESCRIPTOR: _ClassVar[_Descriptor]  # type: ignore[misc]
    operation: _b.str
    def __init__(self, *, operation: _b.str | None = ...) -> None: ...

class SavedVariable(_Message):
    DESCRIPTOR: _ClassVar[_Descriptor]  # type: ignore[misc]
    dtype: _b.int
    @_b.property
    def shape(self) -> TensorShapeProto: ...
    trainable: _b.bool
    synchronization: _b.int
    aggregation: _b.int
    name: _b.str
    device: _b.str
    @_b.property
    def experimental_distributed_variable_components(self) -> _Messages[SavedVariable]: ...
    def __init__(self, *, dtype: _b.int | None = ..., shape: TensorShapeProto | None = ..., trainable: _b.bool | None = ..., synchronization: _b.int | None = ..., aggregation: _b.int | None = ..., name: _b.str | None = ..., device: _b.str | None = ..., experimental_distributed_variable_components: _Iterable[SavedVariable] | None = ...) -> None: ...

class FunctionSpec(_Message):
    DESCRIPTOR: _ClassVar[_Descriptor]  # type: ignore[misc]
    class _JitCompile(_Enum):
        DEFAULT: _b.int
        ON: _b.int
        OFF: _b.int
    JitCompile: _ClassVar[_JitCompile]
    DEFAULT: _ClassVar[_b.int]
    ON: _ClassVar[_b.int]
    OFF: _ClassVar[_b.int]
    @_b.property
    def fullargspec(self) -> StructuredValue: ...
    is_method: _b.bool
    @_b.property
    def input_signature(self) -> StructuredValue: ...
    jit_compile: _b.int
    def __init__(self, *, fullargspec: StructuredValue | None = ..., is_method: _b.bool | None = ..., input_signature: StructuredValue | None = ..., jit_compile: _b.int | None = ...) -> None: ...

class SavedResource(_Message):
    DESCRIPTOR: _ClassVar[_Descriptor]  # type: ignore[misc]
    device: _b.str
    def __init__(self, *, device: _b.str | None = ...) -> None: ...

class SaveableObject(_Message):
    DESCRIPTOR: _ClassVar[_Descriptor]  # type: ignore[misc]
    save_function: _b.int
    restore_function: _b.int
    def __init__(self, *, save_function: _b.int | None = ..., restore_function: _b.int | None = ...) -> None: ...

# tensorflow/core/protobuf/saver.proto

class SaverDef(_Message):
    DESCRIPTOR: _ClassVar[_Descriptor]  # type: ignore[misc]
    class _CheckpointFormatVersion(_Enum):
        LEGACY: _b.int
        V1: _b.int
        V2: _b.int
    CheckpointFormatVersion: _ClassVar[_CheckpointFormatVersion]
    LEGACY: _ClassVar[_b.int]
    V1: _ClassVar[_b.int]
    V2: _ClassVar[_b.int]
    filename_tensor_name: _b.str
    save_tensor_name: _b.str
    restore_op_name: _b.str
    max_to_keep: _b.int
    sharded: _b.bool
    keep_checkpoint_every_n_hours: _b.float
    version: _b.int
    def __init__(self, *, filename_tensor_name: _b.str | None = ..., save_tensor_name: _b.str | None = ..., restore_op_name: _b.str | None = ..., max_to_keep: _b.int | None = ..., sharded: _b.bool | None = ..., keep_checkpoint_every_n_hours: _b.float | None = ..., version: _b.int | None = ...) -> None: ...

# tensorflow/core/protobuf/meta_graph.proto

class MetaGraphDef(_Message):
    DESCRIPTOR: _ClassVar[_Descriptor]  # type: ignore[misc]
    class MetaInfoDef(_Message):
        DESCRIPTOR: _ClassVar[_Descriptor]  # type: ignore[misc]
        meta_graph_version: _b.str
        @_b.property
        def stripped_op_list(self) -> OpList: ...
        @_b.property
        def any_info(self) -> Any: ...
        @_b.property
        def tags(self) -> _Scalars[_b.str]: ...
        tensorflow_version: _b.str
        tensorflow_git_version: _b.str
        stripped_default_attrs: _b.bool
        @_b.property
        def function_aliases(self) -> _ScalarMap[_b.str, _b.str]: ...
        def __init__(self, *, meta_graph_version: _b.str | None = ..., stripped_op_list: OpList | None = ..., any_info: Any | None = ..., tags: _Iterable[_b.str] | None = ..., tensorflow_version: _b.str | None = ..., tensorflow_git_version: _b.str | None = ..., stripped_default_attrs: _b.bool | None = ..., function_aliases: _Mapping[_b.str, _b.str] | None = ...) -> None: ...
    @_b.property
    def meta_info_def(self) -> MetaGraphDef.MetaInfoDef: ...
    @_b.property
    def graph_def(self) -> GraphDef: ...
    @_b.property
    def saver_def(self) -> SaverDef: ...
    @_b.property
    def collection_def(self) -> _MessageMap[_b.str, CollectionDef]: ...
    @_b.property
    def signature_def(self) -> _MessageMap[_b.str, SignatureDef]: ...
    @_b.property
    def asset_file_def(self) -> _Messages[AssetFileDef]: ...
    @_b.property
    def object_graph_def(self) -> SavedObjectGraph: ...
    def __init__(self, *, meta_info_def: MetaGraphDef.MetaInfoDef | None = ..., graph_def: GraphDef | None = ..., saver_def: SaverDef | None = ..., collection_def: _Mapping[_b.str, CollectionDef] | None = ..., signature_def: _Mapping[_b.str, SignatureDef] | None = ..., asset_file_def: _Iterable[AssetFileDef] | None = ..., object_graph_def: SavedObjectGraph | None = ...) -> None: ...

class CollectionDef(_Message):
    DESCRIPTOR: _ClassVar[_Descriptor]  # type: ignore[misc]
    class NodeList(_Message):
        DESCRIPTOR: _ClassVar[_Descriptor]  # type: ignore[misc]
        @_b.property
        def value(self) -> _Scalars[_b.str]: ...
        def __init__(self, *, value: _Iterable[_b.str] | None = ...) -> None: ...
    class BytesList(_Message):
        DESCRIPTOR: _ClassVar[_Descriptor]  # type: ignore[misc]
        @_b.property
        def value(self) -> _Scalars[_b.bytes]: ...
        def __init__(self, *, value: _Iterable[_b.bytes] | None = ...) -> None: ...
    class Int64List(_Message):
        DESCRIPTOR: _ClassVar[_Descriptor]  # type: ignore[misc]
        @_b.property
        def value(self) -> _Scalars[_b.int]: ...
        def __init__(self, *, value: _Iterable[_b.int] | None = ...) -> None: ...
    class FloatList(_Message):
        DESCRIPTOR: _ClassVar[_Descriptor]  # type: ignore[misc]
        @_b.property
        def value(self) -> _Scalars[_b.float]: ...
        def __init__(self, *, value: _Iterable[_b.float] | None = ...) -> None: ...
    class AnyList(_Message):
        DESCRIPTOR: _ClassVar[_Descriptor]  # type: ignore[misc]
        @_b.property
        def value(self) -> _Messages[Any]: ...
        def __init__(self, *, value: _Iterable[Any] | None = ...) -> None: ...
    @_b.property
    def node_list(self) -> CollectionDef.NodeList: ...
    @_b.property
    def bytes_list(self) -> CollectionDef.BytesList: ...
    @_b.property
    def int64_list(self) -> CollectionDef.Int64List: ...
    @_b.property
    def float_list(self) -> CollectionDef.FloatList: ...
    @_b.property
    def any_list(self) -> CollectionDef.AnyList: ...
    def __init__(self, *, node_list: CollectionDef.NodeList | None = ..., bytes_list: CollectionDef.BytesList | None = ..., int64_list: CollectionDef.Int64List | None = ..., float_list: CollectionDef.FloatList | None = ..., any_list: CollectionDef.AnyList | None = ...) -> None: ...

class TensorInfo(_Message):
    DESCRIPTOR: _ClassVar[_Descriptor]  # type: ignore[misc]
    class CooSparse(_Message):
        DESCRIPTOR: _ClassVar[_Descriptor]  # type: ignore[misc]
        values_tensor_name: _b.str
        indices_tensor_name: _b.str
        dense_shape_tensor_name: _b.str
        def __init__(self, *, values_tensor_name: _b.str | None = ..., indices_tensor_name: _b.str | None = ..., dense_shape_tensor_name: _b.str | None = ...) -> None: ...
    class CompositeTensor(_Message):
        DESCRIPTOR: _ClassVar[_Descriptor]  # type: ignore[misc]
        @_b.property
        def type_spec(self) -> TypeSpecProto: ...
        @_b.property
        def components(self) -> _Messages[TensorInfo]: ...
        def __init__(self, *, type_spec: TypeSpecProto | None = ..., components: _Iterable[TensorInfo] | None = ...) -> None: ...
    name: _b.str
    @_b.property
    def coo_sparse(self) -> TensorInfo.CooSparse: ...
    @_b.property
    def composite_tensor(self) -> TensorInfo.CompositeTensor: ...
    dtype: _b.int
    @_b.property
    def tensor_shape(self) -> TensorShapeProto: ...
    def __init__(self, *, name: _b.str | None = ..., coo_sparse: TensorInfo.CooSparse | None = ..., composite_tensor: TensorInfo.CompositeTensor | None = ..., dtype: _b.int | None = ..., tensor_shape: TensorShapeProto | None = ...) -> None: ...

class SignatureDef(_Message):
    DESCRIPTOR: _ClassVar[_Descriptor]  # type: ignore[misc]
    @_b.property
    def inputs(self) -> _MessageMap[_b.str, TensorInfo]: ...
    @_b.property
    def outputs(self) -> _MessageMap[_b.str, TensorInfo]: ...
    method_name: _b.str
    @_b.property
    def defaults(self) -> _MessageMap[_b.str, TensorProto]: ...
    def __init__(self, *, inputs: _Mapping[_b.str, TensorInfo] | None = ..., outputs: _Mapping[_b.str, TensorInfo] | None = ..., method_name: _b.str | None = ..., defaults: _Mapping[_b.str, TensorProto] | None = ...) -> None: ...

class AssetFileDef(_Message):
    DESCRIPTOR: _ClassVar[_Descriptor]  # type: ignore[misc]
    @_b.property
    def tensor_info(self) -> TensorInfo: ...
    filename: _b.str
    def __init__(self, *, tensor_info: TensorInfo | None = ..., filename: _b.str | None = ...) -> None: ...

# tensorflow/core/protobuf/named_tensor.proto

class NamedTensorProto(_Message):
    DESCRIPTOR: _ClassVar[_Descriptor]  # type: ignore[misc]
    name: _b.str
    @_b.property
    def tensor(self) -> TensorProto: ...
    def __init__(self, *, name: _b.str | None = ..., tensor: TensorProto | None = ...) -> None: ...

# tensorflow_serving/apis/input.proto

class ExampleList(_Message):
    DESCRIPTOR: _ClassVar[_Descriptor]  # type: ignore[misc]
    @_b.property
    def examples(self) -> _Messages[Example]: ...
    def __init__(self, *, examples: _Iterable[Example] | None = ...) -> None: ...

class ExampleListWithContext(_Message):
    DESCRIPTOR: _ClassVar[_Descriptor]  # type: ignore[misc]
    @_b.property
    def examples(self) -> _Messages[Example]: ...
    @_b.property
    def context(self) -> Example: ...
    def __init__(self, *, examples: _Iterable[Example] | None = ..., context: Example | None = ...) -> None: ...

class Input(_Message):
    DESCRIPTOR: _ClassVar[_Descriptor]  # type: ignore[misc]
    @_b.property
    def example_list(self) -> ExampleList: ...
    @_b.property
    def example_list_with_context(self) -> ExampleListWithContext: ...
    def __init__(self, *, example_list: ExampleList | None = ..., example_list_with_context: ExampleListWithContext | None = ...) -> None: ...

# tensorflow_serving/apis/model.proto

class ModelSpec(_Message):
    DESCRIPTOR: _ClassVar[_Descriptor]  # type: ignore[misc]
    name: _b.str
    @_b.property
    def version(self) -> Int64Value: ...
    version_label: _b.str
    signature_name: _b.str
    def __init__(self, *, name: _b.str | None = ..., version: Int64Value | None = ..., version_label: _b.str | None = ..., signature_name: _b.str | None = ...) -> None: ...

# tensorflow_serving/apis/classification.proto

class Class(_Message):
    DESCRIPTOR: _ClassVar[_Descriptor]  # type: ignore[misc]
    label: _b.str
    score: _b.float
    def __init__(self, *, label: _b.str | None = ..., score: _b.float | None = ...) -> None: ...

class Classifications(_Message):
    DESCRIPTOR: _ClassVar[_Descriptor]  # type: ignore[misc]
    @_b.property
    def classes(self) -> _Messages[Class]: ...
    def __init__(self, *, classes: _Iterable[Class] | None = ...) -> None: ...

class ClassificationResult(_Message):
    DESCRIPTOR: _ClassVar[_Descriptor]  # type: ignore[misc]
    @_b.property
    def classifications(self) -> _Messages[Classifications]: ...
    def __init__(self, *, classifications: _Iterable[Classifications] | None = ...) -> None: ...

class ClassificationRequest(_Message):
    DESCRIPTOR: _ClassVar[_Descriptor]  # type: ignore[misc]
    @_b.property
    def model_spec(self) -> ModelSpec: ...
    @_b.property
    def input(self) -> Input: ...
    def __init__(self, *, model_spec: ModelSpec | None = ..., input: Input | None = ...) -> None: ...

class ClassificationResponse(_Message):
    DESCRIPTOR: _ClassVar[_Descriptor]  # type: ignore[misc]
    @_b.property
    def model_spec(self) -> ModelSpec: ...
    @_b.property
    def result(self) -> ClassificationResult: ...
    def __init__(self, *, model_spec: ModelSpec | None = ..., result: ClassificationResult | None = ...) -> None: ...

# tensorflow_serving/apis/get_model_metadata.proto

class SignatureDefMap(_Message):
    DESCRIPTOR: _ClassVar[_Descriptor]  # type: ignore[misc]
    @_b.property
    def signature_def(self) -> _MessageMap[_b.str, SignatureDef]: ...
    def __init__(self, *, signature_def: _Mapping[_b.str, SignatureDef] | None = ...) -> None: ...

class GetModelMetadataRequest(_Message):
    DESCRIPTOR: _ClassVar[_Descriptor]  # type: ignore[misc]
    @_b.property
    def model_spec(self) -> ModelSpec: ...
    @_b.property
    def metadata_field(self) -> _Scalars[_b.str]: ...
    def __init__(self, *, model_spec: ModelSpec | None = ..., metadata_field: _Iterable[_b.str] | None = ...) -> None: ...

class GetModelMetadataResponse(_Message):
    DESCRIPTOR: _ClassVar[_Descriptor]  # type: ignore[misc]
    @_b.property
    def model_spec(self) -> ModelSpec: ...
    @_b.property
    def metadata(self) -> _MessageMap[_b.str, Any]: ...
    def __init__(self, *, model_spec: ModelSpec | None = ..., metadata: _Mapping[_b.str, Any] | None = ...) -> None: ...

# tensorflow_serving/apis/status.proto

class StatusProto(_Message):
    DESCRIPTOR: _ClassVar[_Descriptor]  # type: ignore[misc]
    error_code: _b.int
    error_message: _b.str
    def __init__(self, *, error_code: _b.int | None = ..., error_message: _b.str | None = ...) -> None: ...

# tensorflow_serving/apis/get_model_status.proto

class GetModelStatusRequest(_Message):
    DESCRIPTOR: _ClassVar[_Descriptor]  # type: ignore[misc]
    @_b.property
    def model_spec(self) -> ModelSpec: ...
    def __init__(self, *, model_spec: ModelSpec | None = ...) -> None: ...

class ModelVersionStatus(_Message):
    DESCRIPTOR: _ClassVar[_Descriptor]  # type: ignore[misc]
    class _State(_Enum):
        UNKNOWN: _b.int
        START: _b.int
        LOADING: _b.int
        AVAILABLE: _b.int
        UNLOADING: _b.int
        END: _b.int
    State: _ClassVar[_State]
    UNKNOWN: _ClassVar[_b.int]
    START: _ClassVar[_b.int]
    LOADING: _ClassVar[_b.int]
    AVAILABLE: _ClassVar[_b.int]
    UNLOADING: _ClassVar[_b.int]
    END: _ClassVar[_b.int]
    version: _b.int
    state: _b.int
    @_b.property
    def status(self) -> StatusProto: ...
    def __init__(self, *, version: _b.int | None = ..., state: _b.int | None = ..., status: StatusProto | None = ...) -> None: ...

class GetModelStatusResponse(_Message):
    DESCRIPTOR: _ClassVar[_Descriptor]  # type: ignore[misc]
    @_b.property
    def model_version_status(self) -> _Messages[ModelVersionStatus]: ...
    def __init__(self, *, model_version_status: _Iterable[ModelVersionStatus] | None = ...) -> None: ...

# tensorflow_serving/apis/regression.proto

class Regression(_Message):
    DESCRIPTOR: _ClassVar[_Descriptor]  # type: ignore[misc]
    value: _b.float
    def __init__(self, *, value: _b.float | None = ...) -> None: ...

class RegressionResult(_Message):
    DESCRIPTOR: _ClassVar[_Descriptor]  # type: ignore[misc]
    @_b.property
    def regressions(self) -> _Messages[Regression]: ...
    def __init__(self, *, regressions: _Iterable[Regression] | None = ...) -> None: ...

class RegressionRequest(_Message):
    DESCRIPTOR: _ClassVar[_Descriptor]  # type: ignore[misc]
    @_b.property
    def model_spec(self) -> ModelSpec: ...
    @_b.property
    def input(self) -> Input: ...
    def __init__(self, *, model_spec: ModelSpec | None = ..., input: Input | None = ...) -> None: ...

class RegressionResponse(_Message):
    DESCRIPTOR: _ClassVar[_Descriptor]  # type: ignore[misc]
    @_b.property
    def model_spec(self) -> ModelSpec: ...
    @_b.property
    def result(self) -> RegressionResult: ...
    def __init__(self, *, model_spec: ModelSpec | None = ..., result: RegressionResult | None = ...) -> None: ...

# tensorflow_serving/apis/inference.proto

class InferenceTask(_Message):
    DESCRIPTOR: _ClassVar[_Descriptor]  # type: ignore[misc]
    @_b.property
    def model_spec(self) -> ModelSpec: ...
    method_name: _b.str
    def __init__(self, *, model_spec: ModelSpec | None = ..., method_name: _b.str | None = ...) -> None: ...

class InferenceResult(_Message):
    DESCRIPTOR: _ClassVar[_Descriptor]  # type: ignore[misc]
    @_b.property
    def model_spec(self) -> ModelSpec: ...
    @_b.property
    def classification_result(self) -> ClassificationResult: ...
    @_b.property
    def regression_result(self) -> RegressionResult: ...
    def __init__(self, *, model_spec: ModelSpec | None = ..., classification_result: ClassificationResult | None = ..., regression_result: RegressionResult | None = ...) -> None: ...

class MultiInferenceRequest(_Message):
    DESCRIPTOR: _ClassVar[_Descriptor]  # type: ignore[misc]
    @_b.property
    def tasks(self) -> _Messages[InferenceTask]: ...
    @_b.property
    def input(self) -> Input: ...
    def __init__(self, *, tasks: _Iterable[InferenceTask] | None = ..., input: Input | None = ...) -> None: ...

class MultiInferenceResponse(_Message):
    DESCRIPTOR: _ClassVar[_Descriptor]  # type: ignore[misc]
    @_b.property
    def results(self) -> _Messages[InferenceResult]: ...
    def __init__(self, *, results: _Iterable[InferenceResult] | None = ...) -> None: ...

# tensorflow_serving/apis/internal/serialized_input.proto

class SerializedExampleList(_Message):
    DESCRIPTOR: _ClassVar[_Descriptor]  # type: ignore[misc]
    @_b.property
    def examples(self) -> _Scalars[_b.bytes]: ...
    def __init__(self, *, examples: _Iterable[_b.bytes] | None = ...) -> None: ...

class SerializedExampleListWithContext(_Message):
    DESCRIPTOR: _ClassVar[_Descriptor]  # type: ignore[misc]
    @_b.property
    def examples(self) -> _Scalars[_b.bytes]: ...
    context: _b.bytes
    def __init__(self, *, examples: _Iterable[_b.bytes] | None = ..., context: _b.bytes | None = ...) -> None: ...

class SerializedInput(_Message):
    DESCRIPTOR: _ClassVar[_Descriptor]  # type: ignore[misc]
    @_b.property
    def example_list(self) -> SerializedExampleList: ...
    @_b.property
    def example_list_with_context(self) -> SerializedExampleListWithContext: ...
    def __init__(self, *, example_list: SerializedExampleList | None = ..., example_list_with_context: SerializedExampleListWithContext | None = ...) -> None: ...

# tensorflow_serving/config/log_collector_config.proto

class LogCollectorConfig(_Message):
    DESCRIPTOR: _ClassVar[_Descriptor]  # type: ignore[misc]
    type: _b.str
    filename_prefix: _b.str
    def __init__(self, *, type: _b.str | None = ..., filename_prefix: _b.str | None = ...) -> None: ...

# tensorflow_serving/config/logging_config.proto

class PerTaskSamplingConfig(_Message):
    DESCRIPTOR: _ClassVar[_Descriptor]  # type: ignore[misc]
    dc: _b.str
    task_index: _b.int
    sampling_rate: _b.float
    def __init__(self, *, dc: _b.str | None = ..., task_index: _b.int | None = ..., sampling_rate: _b.float | None = ...) -> None: ...

class SamplingConfig(_Message):
    DESCRIPTOR: _ClassVar[_Descriptor]  # type: ignore[misc]
    class _Attributes(_Enum):
        ATTR_DEFAULT: _b.int
        ATTR_REQUEST_ORIGIN: _b.int
        ATTR_REQUEST_CRITICALITY: _b.int
    Attributes: _ClassVar[_Attributes]
    ATTR_DEFAULT: _ClassVar[_b.int]
    ATTR_REQUEST_ORIGIN: _ClassVar[_b.int]
    ATTR_REQUEST_CRITICALITY: _ClassVar[_b.int]
    sampling_rate: _b.float
    @_b.property
    def per_task_sampling_configs(self) -> _Messages[PerTaskSamplingConfig]: ...
    attributes: _b.int
    def __init__(self, *, sampling_rate: _b.float | None = ..., per_task_sampling_configs: _Iterable[PerTaskSamplingConfig] | None = ..., attributes: _b.int | None = ...) -> None: ...

class LoggingConfig(_Message):
    DESCRIPTOR: _ClassVar[_Descriptor]  # type: ignore[misc]
    @_b.property
    def log_collector_config(self) -> LogCollectorConfig: ...
    @_b.property
    def sampling_config(self) -> SamplingConfig: ...
    @_b.property
    def custom_logging_config(self) -> Any: ...
    def __init__(self, *, log_collector_config: LogCollectorConfig | None = ..., sampling_config: SamplingConfig | None = ..., custom_logging_config: Any | None = ...) -> None: ...

# tensorflow_serving/apis/logging.proto

class LogMetadata(_Message):
    DESCRIPTOR: _ClassVar[_Descriptor]  # type: ignore[misc]
    @_b.property
    def model_spec(self) -> ModelSpec: ...
    @_b.property
    def sampling_config(self) -> SamplingConfig: ...
    @_b.property
    def saved_model_tags(self) -> _Scalars[_b.str]: ...
    timestamp_secs: _b.int
    dc: _b.str
    request_origin: _b.str
    request_criticality: _b.str
    safe_aggregation_privacy_key: _b.int
    def __init__(self, *, model_spec: ModelSpec | None = ..., sampling_config: SamplingConfig | None = ..., saved_model_tags: _Iterable[_b.str] | None = ..., timestamp_secs: _b.int | None = ..., dc: _b.str | None = ..., request_origin: _b.str | None = ..., request_criticality: _b.str | None = ..., safe_aggregation_privacy_key: _b.int | None = ...) -> None: ...

# tensorflow_serving/config/file_system_storage_path_source.proto

class FileSystemStoragePathSourceConfig(_Message):
    DESCRIPTOR: _ClassVar[_Descriptor]  # type: ignore[misc]
    class ServableVersionPolicy(_Message):
        DESCRIPTOR: _ClassVar[_Descriptor]  # type: ignore[misc]
        class Latest(_Message):
            DESCRIPTOR: _ClassVar[_Descriptor]  # type: ignore[misc]
            num_versions: _b.int
            def __init__(self, *, num_versions: _b.int | None = ...) -> None: ...
        class All(_Message):
            DESCRIPTOR: _ClassVar[_Descriptor]  # type: ignore[misc]
            def __init__(self) -> None: ...
        class Specific(_Message):
            DESCRIPTOR: _ClassVar[_Descriptor]  # type: ignore[misc]
            @_b.property
            def versions(self) -> _Scalars[_b.int]: ...
            def __init__(self, *, versions: _Iterable[_b.int] | None = ...) -> None: ...
        @_b.property
        def latest(self) -> FileSystemStoragePathSourceConfig.ServableVersionPolicy.Latest: ...
        @_b.property
        def all(self) -> FileSystemStoragePathSourceConfig.ServableVersionPolicy.All: ...
        @_b.property
        def specific(self) -> FileSystemStoragePathSourceConfig.ServableVersionPolicy.Specific: ...
        def __init__(self, *, latest: FileSystemStoragePathSourceConfig.ServableVersionPolicy.Latest | None = ..., all: FileSystemStoragePathSourceConfig.ServableVersionPolicy.All | None = ..., specific: FileSystemStoragePathSourceConfig.ServableVersionPolicy.Specific | None = ...) -> None: ...
    class ServableToMonitor(_Message):
        DESCRIPTOR: _ClassVar[_Descriptor]  # type: ignore[misc]
        servable_name: _b.str
        base_path: _b.str
        @_b.property
        def servable_version_policy(self) -> FileSystemStoragePathSourceConfig.ServableVersionPolicy: ...
        def __init__(self, *, servable_name: _b.str | None = ..., base_path: _b.str | None = ..., servable_version_policy: FileSystemStoragePathSourceConfig.ServableVersionPolicy | None = ...) -> None: ...
    @_b.property
    def servables(self) -> _Messages[FileSystemStoragePathSourceConfig.ServableToMonitor]: ...
    file_system_poll_wait_seconds: _b.int
    fail_if_zero_versions_at_startup: _b.bool
    servable_versions_always_present: _b.bool
    def __init__(self, *, servables: _Iterable[FileSystemStoragePathSourceConfig.ServableToMonitor] | None = ..., file_system_poll_wait_seconds: _b.int | None = ..., fail_if_zero_versions_at_startup: _b.bool | None = ..., servable_versions_always_present: _b.bool | None = ...) -> None: ...

# tensorflow_serving/config/model_server_config.proto

class _ModelType(_Enum):
    MODEL_TYPE_UNSPECIFIED: _b.int
    TENSORFLOW: _b.int
    OTHER: _b.int
ModelType: _Final[_ModelType]

class ModelConfig(_Message):
    DESCRIPTOR: _ClassVar[_Descriptor]  # type: ignore[misc]
    name: _b.str
    base_path: _b.str
    model_type: _b.int
    model_platform: _b.str
    @_b.property
    def model_version_policy(self) -> FileSystemStoragePathSourceConfig.ServableVersionPolicy: ...
    @_b.property
    def version_labels(self) -> _ScalarMap[_b.str, _b.int]: ...
    @_b.property
    def logging_config(self) -> LoggingConfig: ...
    def __init__(self, *, name: _b.str | None = ..., base_path: _b.str | None = ..., model_type: _b.int | None = ..., model_platform: _b.str | None = ..., model_version_policy: FileSystemStoragePathSourceConfig.ServableVersionPolicy | None = ..., version_labels: _Mapping[_b.str, _b.int] | None = ..., logging_config: LoggingConfig | None = ...) -> None: ...

class ModelConfigList(_Message):
    DESCRIPTOR: _ClassVar[_Descriptor]  # type: ignore[misc]
    @_b.property
    def config(self) -> _Messages[ModelConfig]: ...
    def __init__(self, *, config: _Iterable[ModelConfig] | None = ...) -> None: ...

class ModelServerConfig(_Message):
    DESCRIPTOR: _ClassVar[_Descriptor]  # type: ignore[misc]
    @_b.property
    def model_config_list(self) -> ModelConfigList: ...
    @_b.property
    def custom_model_config(self) -> Any: ...
    def __init__(self, *, model_config_list: ModelConfigList | None = ..., custom_model_config: Any | None = ...) -> None: ...

# tensorflow_serving/apis/model_management.proto

class ReloadConfigRequest(_Message):
    DESCRIPTOR: _ClassVar[_Descriptor]  # type: ignore[misc]
    @_b.property
    def config(self) -> ModelServerConfig: ...
    @_b.property
    def metric_names(self) -> _Scalars[_b.str]: ...
    def __init__(self, *, config: ModelServerConfig | None = ..., metric_names: _Iterable[_b.str] | None = ...) -> None: ...

class ReloadConfigResponse(_Message):
    DESCRIPTOR: _ClassVar[_Descriptor]  # type: ignore[misc]
    @_b.property
    def status(self) -> StatusProto: ...
    @_b.property
    def metric(self) -> _Messages[Metric]: ...
    def __init__(self, *, status: StatusProto | None = ..., metric: _Iterable[Metric] | None = ...) -> None: ...

class Metric(_Message):
    DESCRIPTOR: _ClassVar[_Descriptor]  # type: ignore[misc]
    name: _b.str
    int64_value_increase: _b.int
    def __init__(self, *, name: _b.str | None = ..., int64_value_increase: _b.int | None = ...) -> None: ...

# tensorflow_serving/apis/model_service.proto

# tensorflow_serving/apis/predict.proto

class PredictRequest(_Message):
    DESCRIPTOR: _ClassVar[_Descriptor]  # type: ignore[misc]
    class RequestOptions(_Message):
        DESCRIPTOR: _ClassVar[_Descriptor]  # type: ignore[misc]
        class _DeterministicMode(_Enum):
            DETERMINISTIC_MODE_UNSPECIFIED: _b.int
            FIXED_DECODER_SLOT: _b.int
        DeterministicMode: _ClassVar[_DeterministicMode]
        DETERMINISTIC_MODE_UNSPECIFIED: _ClassVar[_b.int]
        FIXED_DECODER_SLOT: _ClassVar[_b.int]
        class Handshake(_Message):
            DESCRIPTOR: _ClassVar[_Descriptor]  # type: ignore[misc]
            estimated_payload_bytes: _b.int
            def __init__(self, *, estimated_payload_bytes: _b.int | None = ...) -> None: ...
        client_id: _b.bytes
        deterministic_mode: _b.int
        return_additional_arrays_from_prefill: _b.bool
        @_b.property
        def return_stoptokens(self) -> _Scalars[_b.int]: ...
        return_all_stoptokens: _b.bool
        max_cache_length: _b.int
        @_b.property
        def handshake(self) -> PredictRequest.RequestOptions.Handshake: ...
        def __init__(self, *, client_id: _b.bytes | None = ..., deterministic_mode: _b.int | None = ..., return_additional_arrays_from_prefill: _b.bool | None = ..., return_stoptokens: _Iterable[_b.int] | None = ..., return_all_stoptokens: _b.bool | None = ..., max_cache_length: _b.int | None = ..., handshake: PredictRequest.RequestOptions.Handshake | None = ...) -> None: ...
    @_b.property
    def model_spec(self) -> ModelSpec: ...
    @_b.property
    def inputs(self) -> _MessageMap[_b.str, TensorProto]: ...
    @_b.property
    def output_filter(self) -> _Scalars[_b.str]: ...
    @_b.property
    def predict_streamed_options(self) -> PredictStreamedOptions: ...
    client_id: _b.bytes
    @_b.property
    def request_options(self) -> PredictRequest.RequestOptions: ...
    def __init__(self, *, model_spec: ModelSpec | None = ..., inputs: _Mapping[_b.str, TensorProto] | None = ..., output_filter: _Iterable[_b.str] | None = ..., predict_streamed_options: PredictStreamedOptions | None = ..., client_id: _b.bytes | None = ..., request_options: PredictRequest.RequestOptions | None = ...) -> None: ...

class PredictStreamedOptions(_Message):
    DESCRIPTOR: _ClassVar[_Descriptor]  # type: ignore[misc]
    class _RequestState(_Enum):
        NONE: _b.int
        SPLIT: _b.int
        END_SPLIT: _b.int
        CANCEL: _b.int
    RequestState: _ClassVar[_RequestState]
    NONE: _ClassVar[_b.int]
    SPLIT: _ClassVar[_b.int]
    END_SPLIT: _ClassVar[_b.int]
    CANCEL: _ClassVar[_b.int]
    request_state: _b.int
    @_b.property
    def split_dimensions(self) -> _ScalarMap[_b.str, _b.int]: ...
    return_single_response: _b.bool
    def __init__(self, *, request_state: _b.int | None = ..., split_dimensions: _Mapping[_b.str, _b.int] | None = ..., return_single_response: _b.bool | None = ...) -> None: ...

class PredictResponse(_Message):
    DESCRIPTOR: _ClassVar[_Descriptor]  # type: ignore[misc]
    @_b.property
    def model_spec(self) -> ModelSpec: ...
    @_b.property
    def outputs(self) -> _MessageMap[_b.str, TensorProto]: ...
    def __init__(self, *, model_spec: ModelSpec | None = ..., outputs: _Mapping[_b.str, TensorProto] | None = ...) -> None: ...

# tensorflow_serving/apis/session_service.proto

class SessionRunRequest(_Message):
    DESCRIPTOR: _ClassVar[_Descriptor]  # type: ignore[misc]
    @_b.property
    def model_spec(self) -> ModelSpec: ...
    @_b.property
    def feed(self) -> _Messages[NamedTensorProto]: ...
    @_b.property
    def fetch(self) -> _Scalars[_b.str]: ...
    @_b.property
    def target(self) -> _Scalars[_b.str]: ...
    tensor_name_is_alias: _b.bool
    @_b.property
    def options(self) -> RunOptions: ...
    def __init__(self, *, model_spec: ModelSpec | None = ..., feed: _Iterable[NamedTensorProto] | None = ..., fetch: _Iterable[_b.str] | None = ..., target: _Iterable[_b.str] | None = ..., tensor_name_is_alias: _b.bool | None = ..., options: RunOptions | None = ...) -> None: ...

class SessionRunResponse(_Message):
    DESCRIPTOR: _ClassVar[_Descriptor]  # type: ignore[misc]
    @_b.property
    def model_spec(self) -> ModelSpec: ...
    @_b.property
    def tensor(self) -> _Messages[NamedTensorProto]: ...
    @_b.property
    def metadata(self) -> RunMetadata: ...
    def __init__(self, *, model_spec: ModelSpec | None = ..., tensor: _Iterable[NamedTensorProto] | None = ..., metadata: RunMetadata | None = ...) -> None: ...

# tensorflow_serving/apis/prediction_log.proto

class ClassifyLog(_Message):
    DESCRIPTOR: _ClassVar[_Descriptor]  # type: ignore[misc]
    @_b.property
    def request(self) -> ClassificationRequest: ...
    @_b.property
    def response(self) -> ClassificationResponse: ...
    def __init__(self, *, request: ClassificationRequest | None = ..., response: ClassificationResponse | None = ...) -> None: ...

class RegressLog(_Message):
    DESCRIPTOR: _ClassVar[_Descriptor]  # type: ignore[misc]
    @_b.property
    def request(self) -> RegressionRequest: ...
    @_b.property
    def response(self) -> RegressionResponse: ...
    def __init__(self, *, request: RegressionRequest | None = ..., response: RegressionResponse | None = ...) -> None: ...

class PredictLog(_Message):
    DESCRIPTOR: _ClassVar[_Descriptor]  # type: ignore[misc]
    @_b.property
    def request(self) -> PredictRequest: ...
    @_b.property
    def response(self) -> PredictResponse: ...
    def __init__(self, *, request: PredictRequest | None = ..., response: PredictResponse | None = ...) -> None: ...

class PredictStreamedLog(_Message):
    DESCRIPTOR: _ClassVar[_Descriptor]  # type: ignore[misc]
    @_b.property
    def request(self) -> _Messages[PredictRequest]: ...
    @_b.property
    def response(self) -> _Messages[PredictResponse]: ...
    def __init__(self, *, request: _Iterable[PredictRequest] | None = ..., response: _Iterable[PredictResponse] | None = ...) -> None: ...

class MultiInferenceLog(_Message):
    DESCRIPTOR: _ClassVar[_Descriptor]  # type: ignore[misc]
    @_b.property
    def request(self) -> MultiInferenceRequest: ...
    @_b.property
    def response(self) -> MultiInferenceResponse: ...
    def __init__(self, *, request: MultiInferenceRequest | None = ..., response: MultiInferenceResponse | None = ...) -> None: ...

class SessionRunLog(_Message):
    DESCRIPTOR: _ClassVar[_Descriptor]  # type: ignore[misc]
    @_b.property
    def request(self) -> SessionRunRequest: ...
    @_b.property
    def response(self) -> SessionRunResponse: ...
    def __init__(self, *, request: SessionRunRequest | None = ..., response: SessionRunResponse | None = ...) -> None: ...

class PredictionLog(_Message):
    DESCRIPTOR: _ClassVar[_Descriptor]  # type: ignore[misc]
    @_b.property
    def log_metadata(self) -> LogMetadata: ...
    @_b.property
    def classify_log(self) -> ClassifyLog: ...
    @_b.property
    def regress_log(self) -> RegressLog: ...
    @_b.property
    def predict_log(self) -> PredictLog: ...
    @_b.property
    def predict_streamed_log(self) -> PredictStreamedLog: ...
    @_b.property
    def multi_inference_log(self) -> MultiInferenceLog: ...
    @_b.property
    def session_run_log(self) -> SessionRunLog: ...
    def __init__(self, *, log_metadata: LogMetadata | None = ..., classify_log: ClassifyLog | None = ..., regress_log: RegressLog | None = ..., predict_log: PredictLog | None = ..., predict_streamed_log: PredictStreamedLog | None = ..., multi_inference_log: MultiInferenceLog | None = ..., session_run_log: SessionRunLog | None = ...) -> None: ...

# tensorflow_serving/apis/prediction_service.proto

# tensorflow_serving/config/monitoring_config.proto

class PrometheusConfig(_Message):
    DESCRIPTOR: _ClassVar[_Descriptor]  # type: ignore[misc]
    enable: _b.bool
    path: _b.str
    def __init__(self, *, enable: _b.bool | None = ..., path: _b.str | None = ...) -> None: ...

class MonitoringConfig(_Message):
    DESCRIPTOR: _ClassVar[_Descriptor]  # type: ignore[misc]
    @_b.property
    def prometheus_config(self) -> PrometheusConfig: ...
    def __init__(self, *, prometheus_config: PrometheusConfig | None = ...) -> None: ...

# tensorflow_serving/config/platform_config.proto

class PlatformConfig(_Message):
    DESCRIPTOR: _ClassVar[_Descriptor]  # type: ignore[misc]
    @_b.property
    def source_adapter_config(self) -> Any: ...
    def __init__(self, *, source_adapter_config: Any | None = ...) -> None: ...

class PlatformConfigMap(_Message):
    DESCRIPTOR: _ClassVar[_Descriptor]  # type: ignore[misc]
    @_b.property
    def platform_configs(self) -> _MessageMap[_b.str, PlatformConfig]: ...
    def __init__(self, *, platform_configs: _Mapping[_b.str, PlatformConfig] | None = ...) -> None: ...

# tensorflow_serving/config/ssl_config.proto

class SSLConfig(_Message):
    DESCRIPTOR: _ClassVar[_Descriptor]  # type: ignore[misc]
    server_key: _b.str
    server_cert: _b.str
    custom_ca: _b.str
    client_verify: _b.bool
    def __init__(self, *, server_key: _b.str | None = ..., server_cert: _b.str | None = ..., custom_ca: _b.str | None = ..., client_verify: _b.bool | None = ...) -> None: ...

# tensorflow_serving/resources/resources.proto

class Resource(_Message):
    DESCRIPTOR: _ClassVar[_Descriptor]  # type: ignore[misc]
    device: _b.str
    @_b.property
    def device_instance(self) -> UInt32Value: ...
    kind: _b.str
    def __init__(self, *, device: _b.str | None = ..., device_instance: UInt32Value | None = ..., kind: _b.str | None = ...) -> None: ...

class ResourceAllocation(_Message):
    DESCRIPTOR: _ClassVar[_Descriptor]  # type: ignore[misc]
    class Entry(_Message):
        DESCRIPTOR: _ClassVar[_Descriptor]  # type: ignore[misc]
        @_b.property
        def resource(self) -> Resource: ...
        quantity: _b.int
        def __init__(self, *, resource: Resource | None = ..., quantity: _b.int | None = ...) -> None: ...
    @_b.property
    def resource_quantities(self) -> _Messages[ResourceAllocation.Entry]: ...
    def __init__(self, *, resource_quantities: _Iterable[ResourceAllocation.Entry] | None = ...) -> None: ...

# tensorflow_serving/servables/tensorflow/remote_op_config_rewriter.proto

class RemoteOpRemapConfig(_Message):
    DESCRIPTOR: _ClassVar[_Descriptor]  # type: ignore[misc]
    @_b.property
    def model_name_remap(self) -> _ScalarMap[_b.str, _b.str]: ...
    @_b.property
    def target_address_remap(self) -> _ScalarMap[_b.str, _b.str]: ...
    propagate_version: _b.bool
    propagate_model_name: _b.bool
    @_b.property
    def backend_model_name_to_target_address_remap(self) -> _ScalarMap[_b.str, _b.str]: ...
    def __init__(self, *, model_name_remap: _Mapping[_b.str, _b.str] | None = ..., target_address_remap: _Mapping[_b.str, _b.str] | None = ..., propagate_version: _b.bool | None = ..., propagate_model_name: _b.bool | None = ..., backend_model_name_to_target_address_remap: _Mapping[_b.str, _b.str] | None = ...) -> None: ...

# tensorflow_serving/servables/tensorflow/session_bundle_config.proto

class ModelWarmupOptions(_Message):
    DESCRIPTOR: _ClassVar[_Descriptor]  # type: ignore[misc]
    @_b.property
    def num_request_iterations(self) -> Int32Value: ...
    @_b.property
    def num_model_warmup_threads(self) -> Int32Value: ...
    model_name: _b.str
    model_version: _b.int
    enable_all_batch_sizes_warmup: _b.bool
    def __init__(self, *, num_request_iterations: Int32Value | None = ..., num_model_warmup_threads: Int32Value | None = ..., model_name: _b.str | None = ..., model_version: _b.int | None = ..., enable_all_batch_sizes_warmup: _b.bool | None = ...) -> None: ...

class SessionBundleConfig(_Message):
    DESCRIPTOR: _ClassVar[_Descriptor]  # type: ignore[misc]
    session_target: _b.str
    @_b.property
    def session_config(self) -> ConfigProto: ...
    @_b.property
    def batching_parameters(self) -> BatchingParameters: ...
    @_b.property
    def session_run_load_threadpool_index(self) -> Int32Value: ...
    experimental_transient_ram_bytes_during_load: _b.int
    @_b.property
    def saved_model_tags(self) -> _Scalars[_b.str]: ...
    @_b.property
    def in_graph_batching_parameters(self) -> BatchingOptions: ...
    @_b.property
    def experimental_fixed_input_tensors(self) -> _Messages[NamedTensorProto]: ...
    enable_model_warmup: _b.bool
    @_b.property
    def model_warmup_options(self) -> ModelWarmupOptions: ...
    enable_session_metadata: _b.bool
    remove_unused_fields_from_bundle_metagraph: _b.bool
    prefer_tflite_model: _b.bool
    resource_estimation_uses_validation_result: _b.bool
    num_tflite_interpreters: _b.int
    num_tflite_interpreters_per_pool: _b.int
    num_tflite_pools: _b.int
    wrap_session_with_no_threading_params: _b.bool
    enable_per_model_batching_params: _b.bool
    enable_saved_model_config: _b.bool
    mixed_precision: _b.str
    def __init__(self, *, session_target: _b.str | None = ..., session_config: ConfigProto | None = ..., batching_parameters: BatchingParameters | None = ..., session_run_load_threadpool_index: Int32Value | None = ..., experimental_transient_ram_bytes_during_load: _b.int | None = ..., saved_model_tags: _Iterable[_b.str] | None = ..., in_graph_batching_parameters: BatchingOptions | None = ..., experimental_fixed_input_tensors: _Iterable[NamedTensorProto] | None = ..., enable_model_warmup: _b.bool | None = ..., model_warmup_options: ModelWarmupOptions | None = ..., enable_session_metadata: _b.bool | None = ..., remove_unused_fields_from_bundle_metagraph: _b.bool | None = ..., prefer_tflite_model: _b.bool | None = ..., resource_estimation_uses_validation_result: _b.bool | None = ..., num_tflite_interpreters: _b.int | None = ..., num_tflite_interpreters_per_pool: _b.int | None = ..., num_tflite_pools: _b.int | None = ..., wrap_session_with_no_threading_params: _b.bool | None = ..., enable_per_model_batching_params: _b.bool | None = ..., enable_saved_model_config: _b.bool | None = ..., mixed_precision: _b.str | None = ...) -> None: ...

class BatchingParameters(_Message):
    DESCRIPTOR: _ClassVar[_Descriptor]  # type: ignore[misc]
    @_b.property
    def max_batch_size(self) -> Int64Value: ...
    @_b.property
    def batch_timeout_micros(self) -> Int64Value: ...
    @_b.property
    def max_enqueued_batches(self) -> Int64Value: ...
    @_b.property
    def num_batch_threads(self) -> Int64Value: ...
    @_b.property
    def thread_pool_name(self) -> StringValue: ...
    @_b.property
    def allowed_batch_sizes(self) -> _Scalars[_b.int]: ...
    pad_variable_length_inputs: _b.bool
    @_b.property
    def enable_large_batch_splitting(self) -> BoolValue: ...
    @_b.property
    def max_execution_batch_size(self) -> Int64Value: ...
    def __init__(self, *, max_batch_size: Int64Value | None = ..., batch_timeout_micros: Int64Value | None = ..., max_enqueued_batches: Int64Value | None = ..., num_batch_threads: Int64Value | None = ..., thread_pool_name: StringValue | None = ..., allowed_batch_sizes: _Iterable[_b.int] | None = ..., pad_variable_length_inputs: _b.bool | None = ..., enable_large_batch_splitting: BoolValue | None = ..., max_execution_batch_size: Int64Value | None = ...) -> None: ...

# tensorflow_serving/servables/tensorflow/saved_model_bundle_source_adapter.proto

class SavedModelBundleSourceAdapterConfig(_Message):
    DESCRIPTOR: _ClassVar[_Descriptor]  # type: ignore[misc]
    @_b.property
    def legacy_config(self) -> SessionBundleConfig: ...
    def __init__(self, *, legacy_config: SessionBundleConfig | None = ...) -> None: ...

# tensorflow_serving/servables/tensorflow/thread_pool_factory_config.proto

class ThreadPoolFactoryConfig(_Message):
    DESCRIPTOR: _ClassVar[_Descriptor]  # type: ignore[misc]
    @_b.property
    def thread_pool_factory_config(self) -> Any: ...
    def __init__(self, *, thread_pool_factory_config: Any | None = ...) -> None: ...

# tensorflow_serving/sources/storage_path/static_storage_path_source.proto

class StaticStoragePathSourceConfig(_Message):
    DESCRIPTOR: _ClassVar[_Descriptor]  # type: ignore[misc]
    servable_name: _b.str
    version_num: _b.int
    version_path: _b.str
    def __init__(self, *, servable_name: _b.str | None = ..., version_num: _b.int | None = ..., version_path: _b.str | None = ...) -> None: ...
