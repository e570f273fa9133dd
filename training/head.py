"""The draft head in torch: a decoder of a few of the target's own layers, with a linear bridge where layers were left out.

Standalone form ("B", features = 0): embedding -> layers -> bridge -> last layer(s) -> norm = g; g . head rows scores the next token.
With features ("AB", features = 1): the bridge also reads the target's final hidden state of the row before, and when drafting goes on
its own g stands in for it; training unrolls that (`steps`).
"""

import torch
import torch.nn as nn
import torch.nn.functional as F

from target import rms, rope_tables, rotate

MATRICES = ("qkv", "attention_output", "gate_up", "down")


def linear(x, weight, dtype):
    """Weights stay float32; products are made in `dtype`, which trains as well in bfloat16."""
    return F.linear(x.to(dtype), weight.to(dtype))


def later(x, rows):
    """Rows [..., S, D] moved to later positions, zeros in front."""
    return x if rows == 0 else F.pad(x, (0, 0, rows, 0))[..., : x.shape[-2], :]


class Layer(nn.Module):
    """A llama layer that starts as one of the target's."""

    def __init__(self, dims, weights, dtype):
        super().__init__()
        self.dims, self.dtype = dims, dtype
        for name, weight in weights.items():
            self.register_parameter(name, nn.Parameter(weight.clone()))

    def forward(self, x, keys, values, cosines, sines):
        """x [B, S, H] -> [B, S, H]. `keys` and `values` hold those of earlier unroll steps; this step's are appended.

        Row s of unroll step k sees step 1's rows up to s - k + 1 (true features) and, of its own chain, step j's row at s - k + j.
        """
        dims = self.dims
        batch, rows, _ = x.shape
        qkv = linear(rms(x, self.input_norm, dims.epsilon), self.qkv, self.dtype)
        qk, v = qkv.split([dims.q_rows + dims.kv_rows, dims.kv_rows], -1)
        qk = qk.float().view(batch, rows, dims.heads + dims.kv_heads, dims.head_dim).transpose(1, 2)
        q, k = rotate(qk, cosines, sines).to(self.dtype).split([dims.heads, dims.kv_heads], 1)
        v = v.reshape(batch, rows, dims.kv_heads, dims.head_dim).transpose(1, 2)
        keys.append(k)
        values.append(v)
        attended = self._attend(q, keys, values) if len(keys) > 1 else self._attend_once(q, k, v)
        attended = attended.transpose(1, 2).reshape(batch, rows, dims.q_rows)
        x = x + linear(attended, self.attention_output, self.dtype)
        gate, up = linear(rms(x, self.post_norm, dims.epsilon), self.gate_up, self.dtype).chunk(2, -1)
        return x + linear(F.silu(gate) * up, self.down, self.dtype)

    def _attend_once(self, q, k, v):
        share = self.dims.heads // self.dims.kv_heads
        return F.scaled_dot_product_attention(
            q, k.repeat_interleave(share, 1), v.repeat_interleave(share, 1), is_causal=True
        )

    def _attend(self, q, keys, values):
        dims, step = self.dims, len(keys)
        batch, _, rows, _ = q.shape
        share, scale = dims.heads // dims.kv_heads, dims.head_dim**-0.5
        q = q.reshape(batch, dims.kv_heads, share, rows, dims.head_dim)
        flat = (batch, dims.kv_heads, share * rows, dims.head_dim)
        scores = (q.reshape(flat) @ keys[0].transpose(2, 3)).float() * scale
        scores = scores.view(batch, dims.kv_heads, share, rows, rows)
        mask = torch.ones(rows, rows, dtype=torch.bool, device=q.device).tril(1 - step)
        mask[: step - 1, 0] = True  # Rows without a past would be empty; they are never scored.
        own = [
            (q * later(keys[j], step - 1 - j)[:, :, None]).float().sum(-1) * scale for j in range(1, step)
        ]
        chances = torch.cat([scores.masked_fill(~mask, -1e9), torch.stack(own, -1)], -1)
        chances = chances.softmax(-1).to(self.dtype)
        attended = (chances[..., :rows].reshape(*flat[:3], rows) @ values[0]).view(q.shape)
        for j in range(1, step):
            attended = attended + chances[..., rows + j - 1, None] * later(values[j], step - 1 - j)[:, :, None]
        return attended.reshape(batch, dims.heads, rows, dims.head_dim)


class Head(nn.Module):
    """Layers by their number in the target; the bridge stands before `layers[bridge]`.

    `start` [hidden * (1 + features) + 1, hidden] is what the bridge begins as (train.py, least_squares).
    """

    def __init__(self, gguf, layers, bridge, features=False, start=None, dtype=torch.float32, positions=4096):
        super().__init__()
        dims = gguf.dims
        self.dims, self.bridge, self.features, self.dtype = dims, bridge, features, dtype
        self.config = {"layers": list(layers), "bridge": bridge, "features": features}
        norm = gguf.tensor("output_norm.weight")
        for name, tensor in {
            "embedding": gguf.embedding,
            "rows": gguf.head.to(dtype),
            "feature_scale": 1 / norm.clamp_min(0.1),
            **dict(zip(("cosines", "sines"), rope_tables(dims, positions))),
        }.items():
            self.register_buffer(name, tensor, persistent=False)
        self.layers = nn.ModuleList(Layer(dims, gguf.layer(index), dtype) for index in layers)
        self.norm = nn.Parameter(norm.clone())
        self.bridge_norm = nn.Parameter(torch.ones(dims.hidden))
        self.feature_norm = nn.Parameter(torch.ones(dims.hidden))
        self.bridge_bias = nn.Parameter(torch.zeros(dims.hidden))
        self.bridge_linear = nn.Parameter(torch.eye(dims.hidden).repeat(1, 1 + features) * 8)
        if start is not None:
            self.bridge_linear.data.copy_(start[:-1].t())
            self.bridge_bias.data.copy_(start[-1])

    def forward(self, ids, features=None, steps=1):
        """ids [B, S] -> per unroll step g [B, S, H]: g[:, s] scores the token after ids[:, s].

        `features` [B, S, H] are the target's final hidden states; the bridge at row s reads that of row s - 1. Feeding the true tokens is
        exact for greedy acceptance: a chain only counts while its drafts equal them.
        """
        dims = self.dims
        cosines, sines = self.cosines[: ids.shape[1]], self.sines[: ids.shape[1]]
        x = self.embedding[ids]
        for layer in self.layers[: self.bridge]:
            x = layer(x, [], [], cosines, sines)
        normed = rms(x, self.bridge_norm, dims.epsilon)
        token_side = linear(normed, self.bridge_linear[:, : dims.hidden], self.dtype).float() + self.bridge_bias
        before = later(features.float(), 1) if self.features else None
        past = [([], []) for _ in self.layers[self.bridge :]]
        outputs = []
        for _ in range(steps if self.features else 1):
            x = token_side
            if self.features:
                normed = rms(rms(before * self.feature_scale, 1.0, dims.epsilon), self.feature_norm, dims.epsilon)
                x = x + linear(normed, self.bridge_linear[:, dims.hidden :], self.dtype)
            for layer, (keys, values) in zip(self.layers[self.bridge :], past):
                x = layer(x, keys, values, cosines, sines)
            g = rms(x, self.norm, dims.epsilon)
            outputs.append(g)
            before = later(g, 1)
        return outputs


@torch.no_grad()
def first_choices(head, scored, ids):
    """[n - 1] each: the chance that the head gives its first choice behind ids[: s + 1], and whether that is ids[s + 1].

    `scored` are the ids that it chooses among.
    """
    tokens = torch.as_tensor(ids, device=scored.device)
    states = head(tokens[None])[0][0, :-1]
    chances, first = F.linear(states.to(head.dtype), head.rows[scored]).float().softmax(-1).max(-1)
    return chances.cpu().numpy(), (scored[first] == tokens[1:]).cpu().numpy()
