#!/usr/bin/env python3
"""Prints the ABI of libedgesdk as JSON: functions with their types, structs with their offsets.

    python native/abi/dump.py > native/abi/VERSION.json     (when VERSION is released)

It is read from the cffi module, which the compiler built from the public headers. A release's dump
never changes; tests/core/test_native.py compares each with the tree: things may be added, nothing
may go or change.
"""

import json
import re
from typing import Any

from edgesdk.core._native import ffi, lib


def structure(name: str) -> dict[str, Any]:
    kind = ffi.typeof(name)
    if kind.kind == "enum":
        return {"enum": {label: value for value, label in sorted(kind.elements.items())}}
    if kind.kind != "struct":
        return {"type": kind.cname}
    try:
        size = ffi.sizeof(kind)  # also makes cffi lay the struct out, which .fields takes for done
    except (TypeError, ffi.error):
        return {"type": "opaque"}
    fields = {key: [field.offset, field.type.cname] for key, field in kind.fields}
    return {"bytes": size, "fields": fields}


def dump() -> dict[str, Any]:
    typedefs, structs, _ = ffi.list_types()
    types = {name: structure(name) for name in typedefs if name.startswith("edge_")}
    for name in structs:
        if re.match(r"edge_|enum ", name):
            types.setdefault(name, structure(f"struct {name}"))
    functions, constants = {}, {}
    for name in dir(lib):
        value = getattr(lib, name)
        if isinstance(value, int):
            constants[name] = value
        else:
            functions[name] = ffi.typeof(ffi.addressof(lib, name)).cname
    return {"types": types, "functions": functions, "constants": constants}


if __name__ == "__main__":
    print(json.dumps(dump(), indent=1, sort_keys=True))
