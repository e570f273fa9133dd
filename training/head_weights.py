"""A head's weights by their names in torch (head.py) and in a head file (head_file.py), both ways."""

import numpy as np
import torch

from head import MATRICES, Head
from head_file import dequantise, quantise, read_head


def _names(layers):
    """-> ({parameter: matrix in the file}, {parameter: vector in the file})."""
    matrices = {f"layers.{i}.{m}": f"layers.{i}.{m}" for i in range(layers) for m in MATRICES}
    vectors = {f"layers.{i}.{n}": f"layers.{i}.{n}" for i in range(layers) for n in ("input_norm", "post_norm")}
    matrices["bridge_linear"] = "bridge.linear"
    vectors |= {"bridge_norm": "bridge.norm", "bridge_bias": "bridge.bias", "norm": "norm"}
    return matrices, vectors


def head_tensors(weights, layers):
    """Parameters of a checkpoint -> arrays of a head file."""
    matrices, vectors = _names(layers)
    tensors = {name: weights[parameter].numpy().astype(np.float16) for parameter, name in vectors.items()}
    for parameter, name in matrices.items():
        tensors[f"{name}.codes"], tensors[f"{name}.scales"] = quantise(weights[parameter].numpy())
    return tensors


def load_head(gguf, manifest_path, device, dtype):
    """-> (head with the stored weights, scored ids)."""
    manifest, tensors = read_head(manifest_path)
    head = Head(gguf, manifest["layers"], manifest["bridgeBefore"], dtype=dtype)
    matrices, vectors = _names(len(head.layers))
    parameters = dict(head.named_parameters())
    with torch.no_grad():
        for parameter, name in matrices.items():
            values = dequantise(tensors[f"{name}.codes"], tensors[f"{name}.scales"])
            parameters[parameter].copy_(torch.from_numpy(values))
        for parameter, name in vectors.items():
            parameters[parameter].copy_(torch.from_numpy(tensors[name].astype(np.float32)))
    return head.to(device), torch.from_numpy(tensors["ids"].astype(np.int64)).to(device)
