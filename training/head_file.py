"""Writes and reads a draft head as the gateway loads it: NAME.json (manifest) beside NAME.safetensors (weights).

Matrices are 8 bit with one half-precision scale per 32 columns: `X.codes` int8 [rows, columns] and `X.scales` float16
[rows, columns / 32], weight = code * scale. Vectors are float16. Tensors:

    ids                      int32 [draft vocabulary], ascending: the tokens that the head scores
    layers.I.input_norm, layers.I.post_norm, layers.I.{qkv, attention_output, gate_up, down}
                             qkv: rows of q, k, v, each head in rotate-half order; gate_up: rows of gate, then up
    bridge.norm, bridge.linear, bridge.bias
                             x' = linear(rms(x, norm)) + bias, before layer `bridgeBefore`
    norm                     the final norm; after it come the target's own head rows of `ids`

src/models/head-file.ts reads the same format.
"""

import hashlib
import json
from pathlib import Path

import numpy as np

FORMAT = 1
BLOCK = 32
_DTYPES = {"float16": "F16", "float32": "F32", "int8": "I8", "int32": "I32"}
_NUMPY = {name: np.dtype(dtype) for dtype, name in _DTYPES.items()}


def quantise(matrix):
    """float [rows, columns] -> (codes int8, scales float16); columns must be a multiple of 32."""
    rows, columns = matrix.shape
    blocks = np.asarray(matrix, np.float32).reshape(rows, columns // BLOCK, BLOCK)
    scales = (np.abs(blocks).max(-1) / 127).astype(np.float16)
    divisors = np.where(scales == 0, 1, scales).astype(np.float32)[..., None]
    codes = np.clip(np.rint(blocks / divisors), -127, 127).astype(np.int8)
    return codes.reshape(rows, columns), scales


def dequantise(codes, scales):
    """The inverse of `quantise`, float32."""
    rows, columns = codes.shape
    blocks = codes.reshape(rows, columns // BLOCK, BLOCK).astype(np.float32)
    return (blocks * scales.astype(np.float32)[..., None]).reshape(rows, columns)


def write_head(path, tensors, manifest):
    """Writes PATH.safetensors and, last, PATH.json. `tensors`: name -> numpy array; `manifest`: all but format and weights."""
    path = Path(path)
    header, offset = {}, 0
    for name, array in sorted(tensors.items()):
        header[name] = {
            "dtype": _DTYPES[array.dtype.name],
            "shape": list(array.shape),
            "data_offsets": [offset, offset + array.nbytes],
        }
        offset += array.nbytes
    text = json.dumps(header, separators=(",", ":")).encode()
    text += b" " * (-(8 + len(text)) % 64)
    body = b"".join(np.ascontiguousarray(array).tobytes() for _, array in sorted(tensors.items()))
    data = len(text).to_bytes(8, "little") + text + body
    weights = path.with_name(path.name + ".safetensors")
    weights.write_bytes(data)
    described = {
        "format": FORMAT,
        **manifest,
        "weights": {
            "file": weights.name,
            "bytes": len(data),
            "sha256": hashlib.sha256(data).hexdigest(),
        },
    }
    write_manifest(path.with_name(path.name + ".json"), described)


def write_manifest(path, manifest):
    Path(path).write_text(json.dumps(manifest, indent=2) + "\n")


def read_head(manifest_path):
    """-> (manifest, name -> numpy array)."""
    manifest_path = Path(manifest_path)
    manifest = json.loads(manifest_path.read_text())
    data = (manifest_path.parent / manifest["weights"]["file"]).read_bytes()
    if hashlib.sha256(data).hexdigest() != manifest["weights"]["sha256"]:
        raise SystemExit(f"{manifest_path} does not describe the weights beside it")
    length = int.from_bytes(data[:8], "little")
    tensors = {}
    for name, entry in json.loads(data[8 : 8 + length]).items():
        start, end = entry["data_offsets"]
        view = np.frombuffer(data[8 + length + start : 8 + length + end], _NUMPY[entry["dtype"]])
        tensors[name] = view.reshape(entry["shape"])
    return manifest, tensors
