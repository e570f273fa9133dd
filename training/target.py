"""The target in torch, read from its GGUF: weights, tokenizer, chat format, and a forward pass over a batch in lock step.

Any model of the `llama` architecture whose chat template is ChatML or is given with --user/--assistant works; dimensions come
from the file's metadata.
"""

import re
from dataclasses import dataclass

import numpy as np
import torch
import torch.nn.functional as F
from gguf import GGUFReader
from gguf.quants import dequantize


@dataclass(frozen=True)
class Dims:
    layers: int
    hidden: int
    heads: int
    kv_heads: int
    head_dim: int
    ffn: int
    vocab: int
    context: int
    epsilon: float
    theta: float

    @property
    def q_rows(self):
        return self.heads * self.head_dim

    @property
    def kv_rows(self):
        return self.kv_heads * self.head_dim


class Gguf:
    """Metadata and float32 tensors of one file."""

    def __init__(self, path):
        self.path = path
        self._reader = GGUFReader(path)
        self._tensors = {tensor.name: tensor for tensor in self._reader.tensors}
        if self.field("general.architecture") != "llama":
            raise SystemExit(f"{path}: only models of the llama architecture are supported")
        if "rope_freqs.weight" in self._tensors:
            raise SystemExit(f"{path}: scaled rotary embedding is not supported")
        self.dims = self._read_dims()

    def field(self, key, default=None):
        field = self._reader.fields.get(key)
        return default if field is None else field.contents()

    def _read_dims(self):
        def number(key, default=None):
            return self.field(f"llama.{key}", default)

        hidden, heads = number("embedding_length"), number("attention.head_count")
        return Dims(
            layers=number("block_count"),
            hidden=hidden,
            heads=heads,
            kv_heads=number("attention.head_count_kv", heads),
            head_dim=number("attention.key_length", hidden // heads),
            ffn=number("feed_forward_length"),
            vocab=len(self.field("tokenizer.ggml.tokens")),
            context=number("context_length"),
            epsilon=number("attention.layer_norm_rms_epsilon"),
            theta=number("rope.freq_base", 10000.0),
        )

    def tensor(self, name):
        """float32. Rows of q and k move from llama.cpp's interleaved rotary order to the order of halves."""
        stored = self._tensors[name]
        values = torch.from_numpy(np.array(dequantize(stored.data, stored.tensor_type), np.float32))
        part = re.fullmatch(r"blk\.\d+\.attn_([qk])\.weight", name)
        if part is None:
            return values
        heads = self.dims.heads if part[1] == "q" else self.dims.kv_heads
        halves = values.reshape(heads, self.dims.head_dim // 2, 2, self.dims.hidden).transpose(1, 2)
        return halves.reshape(heads * self.dims.head_dim, self.dims.hidden).contiguous()

    def layer(self, index):
        """One decoder layer's weights by the names that the head uses."""

        def part(name):
            return self.tensor(f"blk.{index}.{name}.weight")

        return {
            "input_norm": part("attn_norm"),
            "qkv": torch.cat([part("attn_q"), part("attn_k"), part("attn_v")]),
            "attention_output": part("attn_output"),
            "post_norm": part("ffn_norm"),
            "gate_up": torch.cat([part("ffn_gate"), part("ffn_up")]),
            "down": part("ffn_down"),
        }

    @property
    def embedding(self):
        return self.tensor("token_embd.weight")

    @property
    def head(self):
        return self.tensor("output.weight") if "output.weight" in self._tensors else self.embedding


def rms(x, weight, epsilon):
    return x * torch.rsqrt(x.pow(2).mean(-1, keepdim=True) + epsilon) * weight


def rope_tables(dims, positions, device="cpu"):
    """(cosines, sines), each [positions, head_dim], for rotation of halves."""
    steps = torch.arange(0, dims.head_dim, 2).double() / dims.head_dim
    angles = torch.outer(torch.arange(positions).double(), dims.theta**-steps)
    return tuple(torch.cat([f(angles)] * 2, -1).float().to(device) for f in (torch.cos, torch.sin))


def rotate(x, cosines, sines):
    half = x.shape[-1] // 2
    return x * cosines + torch.cat([-x[..., half:], x[..., :half]], -1) * sines


class Target:
    """forward(ids [B, S], cache, past) appends S rows at the same positions in every sequence of the batch."""

    def __init__(self, gguf, dtype=torch.bfloat16, device="cpu", positions=4096):
        self.dims, self.dtype, self.device = gguf.dims, dtype, device
        self.embedding = gguf.embedding.to(device)
        self.head = gguf.head.to(device, dtype)
        self.norm = gguf.tensor("output_norm.weight").to(device)
        self.cosines, self.sines = rope_tables(gguf.dims, positions, device)
        self.layers = []
        for index in range(gguf.dims.layers):
            layer = gguf.layer(index)
            self.layers.append(
                {name: w.to(device, torch.float32 if w.dim() == 1 else dtype) for name, w in layer.items()}
            )

    def cache(self, batch, positions):
        """Per layer [keys, values], each [batch, kv heads, positions, head_dim]."""
        shape = (batch, self.dims.kv_heads, positions, self.dims.head_dim)
        return [[torch.zeros(shape, dtype=self.dtype, device=self.device) for _ in "kv"] for _ in self.layers]

    @torch.no_grad()
    def forward(self, ids, cache=None, past=0, collect=()):
        """Final hidden rows after the norm [B, S, H] (what the head reads); with `collect`, also those layers' outputs."""
        dims = self.dims
        batch, rows = ids.shape
        x = self.embedding[ids]
        cosines, sines = self.cosines[past : past + rows], self.sines[past : past + rows]
        mask = torch.ones(rows, past + rows, dtype=torch.bool, device=self.device).tril(past)
        collected = {}
        for index, layer in enumerate(self.layers):
            qkv = F.linear(rms(x, layer["input_norm"], dims.epsilon).to(self.dtype), layer["qkv"]).float()
            qk, v = qkv.split([dims.q_rows + dims.kv_rows, dims.kv_rows], -1)
            qk = qk.view(batch, rows, dims.heads + dims.kv_heads, dims.head_dim).transpose(1, 2)
            q, k = rotate(qk, cosines, sines).to(self.dtype).split([dims.heads, dims.kv_heads], 1)
            v = v.reshape(batch, rows, dims.kv_heads, dims.head_dim).transpose(1, 2).to(self.dtype)
            if cache is not None:
                keys, values = cache[index]
                keys[:, :, past : past + rows] = k
                values[:, :, past : past + rows] = v
                k, v = keys[:, :, : past + rows], values[:, :, : past + rows]
            attended = self._attend(q, k, v, mask).transpose(1, 2).reshape(batch, rows, dims.q_rows)
            x = x + F.linear(attended, layer["attention_output"]).float()
            gate, up = F.linear(
                rms(x, layer["post_norm"], dims.epsilon).to(self.dtype), layer["gate_up"]
            ).chunk(2, -1)
            x = x + F.linear(F.silu(gate) * up, layer["down"]).float()
            if index in collect:
                collected[index] = x
        hidden = rms(x, self.norm, dims.epsilon)
        return (hidden, collected) if collect else hidden

    def _attend(self, q, k, v, mask):
        """[B, heads, S, head_dim]. One new row: heads that share keys become rows, which is several times faster."""
        dims = self.dims
        share = dims.heads // dims.kv_heads
        if q.shape[2] == 1:
            grouped = q.reshape(q.shape[0], dims.kv_heads, share, dims.head_dim)
            return F.scaled_dot_product_attention(grouped, k, v).reshape(q.shape)
        return F.scaled_dot_product_attention(
            q, k.repeat_interleave(share, 1), v.repeat_interleave(share, 1), attn_mask=mask
        )

    def logits(self, hidden):
        return F.linear(hidden.to(self.dtype), self.head).float()
