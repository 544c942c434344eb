"""Columns of Arrow → columns of JSON texts, as orjson writes each value; for formats that read columns."""

import re

import orjson
import pyarrow as pa
import pyarrow.compute as pc

from ingestion.formats.canonical import base64_text, number

_ESCAPED = re.compile(rb'["\\\x00-\x1f]')


def json_texts(array: pa.Array) -> pa.Array:
    """The JSON text of each value; of a null, `null`.

    Args:
        array: Booleans, integers, floating point numbers, strings or binary.

    Returns:
        Strings, as many.
    """
    if pa.types.is_floating(array.type):
        values = array.to_pylist()
        if not pc.all(pc.is_finite(array)).as_py():
            values = [value if value is None else number(value) for value in values]
        # Arrow writes numbers otherwise. Texts among them are NaN and infinities, which have no comma.
        return pa.array(orjson.dumps(values)[1:-1].split(b","), pa.string())
    if pa.types.is_string(array.type):
        if _ESCAPED.search(array.buffers()[2] or b""):  # of all values together; none is cut in UTF-8
            return pa.array([orjson.dumps(value) for value in array.to_pylist()], pa.string())
        text = pc.binary_join_element_wise('"', array, '"', "")
    elif pa.types.is_binary(array.type):
        text = pa.array(
            [None if value is None else f'"{base64_text(value)}"' for value in array.to_pylist()], pa.string()
        )
    else:
        text = array.cast(pa.string())
    return pc.fill_null(text, "null") if array.null_count else text
