"""The messages of Sparkplug B's payload, from the numbers of its standard.

https://sparkplug.eclipse.org/specification/ (3.0, chapter 6). Extensions are left to the bytes.
"""

from functools import cache
from typing import Any

_PACKAGE = "millrace.sparkplug"
_TYPES = {
    "double": 1,
    "float": 2,
    "uint64": 4,
    "bool": 8,
    "string": 9,
    "message": 11,
    "bytes": 12,
    "uint32": 13,
}
_VALUES = ("int_value:uint32", "long_value:uint64", "float_value:float", "double_value:double",
           "boolean_value:bool", "string_value:string")  # fmt: skip
_MESSAGES: dict[str, tuple[str, ...]] = {
    "Payload": ("timestamp:uint64", "metrics:*Metric", "seq:uint64", "uuid:string", "body:bytes"),
    "Metric": (
        "name:string", "alias:uint64", "timestamp:uint64", "datatype:uint32", "is_historical:bool",
        "is_transient:bool", "is_null:bool", "metadata:MetaData", "properties:PropertySet",
        *(f"{each}:value" for each in (*_VALUES, "bytes_value:bytes", "dataset_value:DataSet",
                                       "template_value:Template")),
    ),
    "MetaData": (
        "is_multi_part:bool", "content_type:string", "size:uint64", "seq:uint64", "file_name:string",
        "file_type:string", "md5:string", "description:string",
    ),
    "PropertySet": ("keys:*string", "values:*PropertyValue"),
    "PropertySetList": ("propertyset:*PropertySet",),
    "PropertyValue": (
        "type:uint32", "is_null:bool",
        *(f"{each}:value" for each in (*_VALUES, "propertyset_value:PropertySet",
                                       "propertysets_value:PropertySetList")),
    ),
    "DataSet": ("num_of_columns:uint64", "columns:*string", "types:*uint32", "rows:*Row"),
    "Row": ("elements:*DataSetValue",),
    "DataSetValue": tuple(f"{each}:value" for each in _VALUES),
    "Template": (
        "version:string", "metrics:*Metric", "parameters:*Parameter", "template_ref:string",
        "is_definition:bool",
    ),
    "Parameter": ("name:string", "type:uint32", *(f"{each}:value" for each in _VALUES)),
}  # fmt: skip
"""Message → its fields, numbered from 1: name, type (* before one that repeats), `value` for those of which a
message has one."""

DATATYPES = (
    "Unknown", "Int8", "Int16", "Int32", "Int64", "UInt8", "UInt16", "UInt32", "UInt64", "Float", "Double",
    "Boolean", "String", "DateTime", "Text", "UUID", "DataSet", "Bytes", "File", "Template", "PropertySet",
    "PropertySetList", "Int8Array", "Int16Array", "Int32Array", "Int64Array", "UInt8Array", "UInt16Array",
    "UInt32Array", "UInt64Array", "FloatArray", "DoubleArray", "BooleanArray", "StringArray", "DateTimeArray",
)  # fmt: skip
"""Names of the data types by their number."""


@cache
def payload_class() -> Any:
    """The class of a message's payload; needs the library."""
    from google.protobuf import descriptor_pb2, descriptor_pool, message_factory

    file = descriptor_pb2.FileDescriptorProto(
        name="millrace/sparkplug.proto", package=_PACKAGE, syntax="proto2"
    )
    for name, fields in _MESSAGES.items():
        message = file.message_type.add(name=name)
        for number, field in enumerate(fields, 1):
            field_name, kind, *of_value = field.split(":")
            added = message.field.add(name=field_name, number=number, label=3 if kind.startswith("*") else 1)
            kind = kind.lstrip("*")
            added.type = _TYPES.get(kind, _TYPES["message"])
            if kind not in _TYPES:
                added.type_name = f".{_PACKAGE}.{kind}"
            if of_value:
                added.oneof_index = 0
        if any(field.endswith(":value") for field in fields):
            message.oneof_decl.add(name="value")
    pool = descriptor_pool.DescriptorPool()
    pool.Add(file)
    return message_factory.GetMessageClass(pool.FindMessageTypeByName(f"{_PACKAGE}.Payload"))
