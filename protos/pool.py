"""The private descriptor pool that holds all public messages, loaded from `descriptors.binpb`.

A pool of our own, not protobuf's default one, so that a process can also import TensorFlow or
`tensorflow-serving-api`, which register files of the same names. Nothing generated is imported: descriptors are
handed over as bytes and classes are made when first asked for, so that an import stays cheap.

Whoever lets protobuf resolve names (`Any` in `json_format` or `text_format`) passes `descriptor_pool=pool`.
"""

from __future__ import annotations

from google.protobuf.descriptor_pool import DescriptorPool
from google.protobuf.internal.enum_type_wrapper import EnumTypeWrapper
from google.protobuf.message import Message
from google.protobuf.message_factory import GetMessageClass

from protos.packages import DESCRIPTORS

_FILE_TAG = 0x0A  # FileDescriptorSet has one field: `repeated FileDescriptorProto file = 1`.


def serialized_files() -> list[bytes]:
    """Each serialized `FileDescriptorProto` of the public API, dependencies before those that import them.

    Raises:
        ValueError: the file of descriptors is damaged.
    """
    data = DESCRIPTORS.read_bytes()
    files = []
    position = 0
    try:
        while position < len(data):
            if data[position] != _FILE_TAG:
                raise ValueError(f"{DESCRIPTORS.name} is not a FileDescriptorSet")
            position += 1
            size = shift = 0
            while data[position] & 0x80:
                size |= (data[position] & 0x7F) << shift
                shift += 7
                position += 1
            size |= data[position] << shift
            position += 1
            if position + size > len(data):
                raise IndexError
            files.append(data[position : position + size])
            position += size
    except IndexError:
        raise ValueError(f"{DESCRIPTORS.name} is cut off") from None
    return files


def _load() -> DescriptorPool:
    loaded = DescriptorPool()
    for file in serialized_files():
        loaded.AddSerializedFile(file)
    return loaded


pool: DescriptorPool = _load()


def message_class(full_name: str) -> type[Message]:
    """The class of a message in the pool, such as `tensorflow.serving.PredictRequest`; always the same one.

    Raises:
        KeyError: there is no such message.
    """
    return GetMessageClass(pool.FindMessageTypeByName(full_name))


def enum_wrapper(full_name: str) -> EnumTypeWrapper:
    """Names and numbers of an enum in the pool, such as `tensorflow.DataType`.

    Raises:
        KeyError: there is no such enum.
    """
    return EnumTypeWrapper(pool.FindEnumTypeByName(full_name))
