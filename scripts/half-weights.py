#!/usr/bin/env python3
"""Writes a safetensors file with its float32 tensors rounded to float16. Needs numpy.

usage: scripts/half-weights.py IN.safetensors OUT.safetensors
"""
import json
import struct
import sys

import numpy


def main():
    source, target = sys.argv[1:]
    data = open(source, "rb").read()
    (size,) = struct.unpack("<Q", data[:8])
    header = json.loads(data[8 : 8 + size])
    body, parts, at = data[8 + size :], [], 0
    for name, entry in sorted(header.items()):
        if name == "__metadata__":
            continue
        first, end = entry["data_offsets"]
        part = body[first:end]
        if entry["dtype"] == "F32":
            values = numpy.frombuffer(part, "<f4")
            if numpy.abs(values).max(initial=0) > 65504:
                sys.exit(f"{source}: {name} is beyond float16")
            entry["dtype"], part = "F16", values.astype("<f2").tobytes()
        entry["data_offsets"] = [at, at + len(part)]
        parts.append(part)
        at += len(part)
    text = json.dumps(header, separators=(",", ":")).encode()
    text += b" " * (-len(text) % 8)
    with open(target, "wb") as file:
        file.write(struct.pack("<Q", len(text)) + text + b"".join(parts))


if __name__ == "__main__":
    main()
