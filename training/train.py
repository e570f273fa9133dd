"""Trains a draft head on labelled text.

    python train.py --model FILE.gguf --work DIRECTORY [--layers 0,1,29] [--bridge 2] [--features] [--passes 2]

The head starts as layers of the target with a bridge that least squares fits; all of it is trained, embedding and scored rows stay the
target's own. Loss: cross entropy to the target's 16 likeliest tokens, on answers only, over the static vocabulary, the batch's tokens and
random others. With --features the first 35 % of the run unroll one step, the rest three. DIRECTORY/checkpoint.pt is written every few
minutes and at the end; the same command goes on from it.
"""

import argparse
import os
import random
import time
from pathlib import Path

import torch
import torch.nn.functional as F

from compute import pick_device, pick_dtype
from corpus import answer_tokens, load_labelled, waves
from head import Head
from target import Gguf, Target, rms

RATE, BETAS, DECAY = 1e-3, (0.9, 0.95), 0.01
WARM_UP_STEPS, HOLD, RATE_END = 20, 0.5, 0.02
BATCH_TOKENS = 800
SCORED_ROWS, STATIC_ROWS = 8192, 6144
UNROLL_ONE, UNROLL_STEPS, STEP_WEIGHT = 0.35, 3, 0.9
CHECKPOINT_SECONDS = 300
LEAST_SQUARES_TOKENS, RIDGE = 12_000, 30.0


class Distillation(torch.autograd.Function):
    """Sum over rows of weight * CE(teacher's top tokens, softmax(g rows')).

    The rows are frozen, so the gradient is made on the way forward and the logits are dropped at once.
    """

    @staticmethod
    def forward(ctx, g, rows, top_ids, top_chances, weights):
        loss, gradient = g.new_zeros(()), torch.empty_like(g)
        best = torch.empty(len(g), dtype=torch.long, device=g.device)
        for start in range(0, len(g), 512):
            part = slice(start, start + 512)
            logits = F.linear(g[part].to(rows.dtype), rows).float()
            total = logits.logsumexp(-1, keepdim=True)
            mass = top_chances[part].sum(-1, keepdim=True)
            best[part] = logits.argmax(-1)
            taught = (top_chances[part] * logits.gather(1, top_ids[part])).sum(-1)
            loss = loss + ((total * mass)[:, 0] * weights[part] - taught * weights[part]).sum()
            slope = logits.sub_(total).exp_().mul_(mass).scatter_add_(1, top_ids[part], -top_chances[part])
            gradient[part] = (slope.mul_(weights[part, None]).to(rows.dtype) @ rows).to(g.dtype)
        ctx.save_for_backward(gradient)
        ctx.mark_non_differentiable(best)
        return loss, best

    @staticmethod
    def backward(ctx, loss_gradient, _):
        return loss_gradient * ctx.saved_tensors[0], None, None, None, None


def token_weights(sequences, vocab):
    """How much of the text each token is, by the target's own probabilities, with its rank in the vocabulary as prior."""
    weights = 300.0 / (torch.arange(vocab).float() + 1000.0)
    for s in sequences:
        chances = torch.from_numpy(s.top_logprobs).float().exp().reshape(-1)
        weights.index_add_(0, torch.from_numpy(s.top_ids).long().reshape(-1), chances)
    return weights


def least_squares(gguf, sequences, layers, bridge, features, device, dtype):
    """[inputs + 1, hidden]: the best linear guess, from what the bridge sees, of what the target itself feeds layer `layers[bridge]`."""
    target = Target(gguf, dtype, device)
    source, seen = layers[bridge] - 1, layers[bridge - 1] if bridge > 0 else None
    inputs, outputs, tokens = [], [], 0
    for s in sequences:
        ids = torch.from_numpy(s.ids)[None].to(device)
        wanted = (source,) if seen is None else (source, seen)
        hidden, collected = target.forward(ids, collect=wanted)
        token = target.embedding[ids] if seen is None else collected[seen]
        parts = [rms(token[0, 1:], 1.0, gguf.dims.epsilon)]
        if features:
            parts.append(rms(hidden[0, :-1] / target.norm.clamp_min(0.1), 1.0, gguf.dims.epsilon))
        parts.append(torch.ones(ids.shape[1] - 1, 1, device=device))
        inputs.append(torch.cat(parts, -1))
        outputs.append(collected[source][0, 1:])
        tokens += ids.shape[1]
        if tokens > LEAST_SQUARES_TOKENS:
            break
    x, y = torch.cat(inputs).double(), torch.cat(outputs).double()
    ridge = RIDGE * torch.eye(x.shape[1], dtype=x.dtype, device=x.device)
    return torch.linalg.solve(x.T @ x + ridge, x.T @ y).float().cpu()


def batches(sequences, source):
    """One pass over all sequences: batches of similar lengths in random order."""
    order = list(range(len(sequences)))
    source.shuffle(order)
    for start in range(0, len(order), 256):
        found, batch = [], []
        for i in sorted(order[start : start + 256], key=lambda i: len(sequences[i].ids)):
            if batch and (len(batch) + 1) * len(sequences[i].ids) > BATCH_TOKENS:
                found.append(batch)
                batch = []
            batch.append(i)
        found.append(batch)
        source.shuffle(found)
        for batch in found:
            yield [sequences[i] for i in batch]


def collate(batch, static, hidden, features):
    """Padded tensors of a batch, and the token ids whose rows are scored. Row s of the labels speaks of the token after s."""
    width = max(len(s.ids) for s in batch)
    top = batch[0].top_ids.shape[1]
    ids = torch.zeros(len(batch), width, dtype=torch.long)
    top_ids = torch.zeros(len(batch), width, top, dtype=torch.long)
    top_logprobs = torch.full((len(batch), width, top), -30.0)
    weights = torch.zeros(len(batch), width)
    states = torch.zeros(len(batch), width, hidden, dtype=torch.float16) if features else None
    for row, s in enumerate(batch):
        n = len(s.ids)
        ids[row, :n] = torch.from_numpy(s.ids)
        top_ids[row, :n] = torch.from_numpy(s.top_ids).long()
        top_logprobs[row, :n] = torch.from_numpy(s.top_logprobs).float()
        weights[row, s.answer_start - 1 : n - 1] = 1
        if states is not None:
            states[row, :n] = torch.from_numpy(s.features)
    scored = static.clone()
    scored[ids.reshape(-1)] = True
    scored[top_ids[..., :4].reshape(-1)] = True
    others = (~scored).nonzero()[:, 0]
    missing = max(0, SCORED_ROWS - int(scored.sum()))
    scored[others[torch.randperm(len(others))[:missing]]] = True
    rows = scored.nonzero()[:, 0]
    places = torch.full((len(static),), -1).index_copy_(0, rows, torch.arange(len(rows)))[top_ids]
    chances = torch.where(places < 0, 0.0, top_logprobs.exp())
    return ids, states, places.clamp_min(0), chances, weights, rows


def rate_at(step, progress):
    """Warm-up, constant to half of the run, then linear to 2 %."""
    falling = 1.0 if progress < HOLD else max(RATE_END, (1 - progress) / (1 - HOLD))
    return RATE * min(1.0, (step + 1) / WARM_UP_STEPS) * falling


class Run:
    """A head, its optimiser and how far it came; plain data goes to the checkpoint and back."""

    def __init__(self, head, seed):
        self.head, self.seed = head, seed
        self.optimiser = torch.optim.AdamW(head.parameters(), lr=RATE, betas=BETAS, weight_decay=DECAY)
        self.step = self.tokens = self.passes = self.batch = 0
        self.seconds = 0.0

    def save(self, path, static_ids, finished):
        unfinished = path.with_suffix(".part")
        counters = {name: getattr(self, name) for name in ("step", "tokens", "passes", "batch", "seconds", "seed")}
        state = {
            "config": self.head.config,
            "weights": {name: p.detach().cpu() for name, p in self.head.named_parameters()},
            "optimiser": self.optimiser.state_dict(),
            "counters": counters,
            "ids": static_ids,
            "finished": finished,
        }
        torch.save(state, unfinished)
        os.replace(unfinished, path)

    def load(self, state):
        with torch.no_grad():
            for name, parameter in self.head.named_parameters():
                parameter.copy_(state["weights"][name])
        self.optimiser.load_state_dict(state["optimiser"])
        for name, value in state["counters"].items():
            setattr(self, name, value)

    def train_step(self, batch, static, steps, progress):
        """-> share of answer tokens that each unroll step gets right, and the loss per token."""
        head, device = self.head, self.head.norm.device
        ids, states, top_ids, chances, weights, rows = collate(batch, static, head.dims.hidden, head.features)
        rows = head.rows[rows.to(device)]
        states = None if states is None else states.to(device)
        loss, right, count = 0.0, [], weights.sum()
        for k, g in enumerate(head(ids.to(device), states, steps)):
            own = weights.clone()
            own[:, :k] = 0
            scored = own.reshape(-1).nonzero()[:, 0]
            flat = [t.reshape(-1, t.shape[-1])[scored].to(device) for t in (top_ids, chances)]
            own = own.reshape(-1)[scored].to(device)
            part, best = Distillation.apply(g.reshape(-1, g.shape[-1])[scored.to(device)], rows, *flat, own)
            loss = loss + STEP_WEIGHT**k * part / count
            right.append((best == flat[0][:, 0]).float().mean().item())
        for group in self.optimiser.param_groups:
            group["lr"] = rate_at(self.step, progress)
        self.optimiser.zero_grad()
        loss.backward()
        torch.nn.utils.clip_grad_norm_(self.head.parameters(), 1.0)
        self.optimiser.step()
        self.step += 1
        self.tokens += int(count)
        return right, loss.item()


def train(run, sequences, static, args, save):
    """Runs to the end of the last pass from wherever the run is."""
    total = args.passes * answer_tokens(sequences)
    saved = reported = started = time.monotonic()
    recent = []
    while run.passes < args.passes:
        source = random.Random(f"{run.seed} {run.passes}")
        for number, batch in enumerate(batches(sequences, source)):
            if number < run.batch:
                continue
            progress = run.tokens / total
            steps = UNROLL_STEPS if args.features and progress >= UNROLL_ONE else 1
            torch.manual_seed(hash((run.seed, run.step)) & 0x7FFFFFFF)
            recent.append(run.train_step(batch, static, steps, progress))
            run.batch = number + 1
            now = time.monotonic()
            if now - reported > 10:
                kept = [right for right, _ in recent if len(right) == steps]
                shares = " ".join(f"{sum(column) / len(kept):.3f}" for column in zip(*kept))
                print(f"step {run.step}, {100 * progress:.1f} %, loss {recent[-1][1]:.3f}, right {shares}", flush=True)
                reported, recent = now, []
            if now - saved > CHECKPOINT_SECONDS:
                run.seconds += now - started
                saved = started = now
                save(finished=False)
        run.passes, run.batch = run.passes + 1, 0
    run.seconds += time.monotonic() - started


def main():
    parser = argparse.ArgumentParser(description=__doc__.split("\n")[0])
    parser.add_argument("--model", required=True)
    parser.add_argument("--work", required=True, type=Path)
    parser.add_argument("--layers", help="of the target; default: the first two and the last")
    parser.add_argument("--bridge", type=int, help="index in --layers of the one behind the bridge; default: the last")
    parser.add_argument("--features", action="store_true", help="the bridge also reads the target's hidden states")
    parser.add_argument("--passes", type=int, default=2, help="over the text")
    parser.add_argument("--rows", type=int, default=8192, help="tokens that the finished head scores")
    parser.add_argument("--held-out", type=int, default=1, help="last waves that are kept for evaluation")
    parser.add_argument("--seed", type=int, default=0)
    parser.add_argument("--device", default="auto")
    args = parser.parse_args()
    device = pick_device(args.device)
    dtype = pick_dtype(device)
    gguf = Gguf(args.model)
    last = gguf.dims.layers - 1
    layers = [int(x) for x in args.layers.split(",")] if args.layers else [*range(min(2, last)), last]
    bridge = len(layers) - 1 if args.bridge is None else args.bridge

    texts = waves(args.work / "text")
    texts = texts[: max(1, len(texts) - args.held_out)]
    sequences = [s for path in texts for s in load_labelled(path, args.work / "labels" / path.name)]
    frequency = token_weights(sequences, gguf.dims.vocab)
    static = torch.zeros(gguf.dims.vocab, dtype=torch.bool)
    static[frequency.topk(min(STATIC_ROWS, gguf.dims.vocab))[1]] = True
    static_ids = frequency.topk(min(args.rows, gguf.dims.vocab))[1].sort()[0].int()

    path = args.work / "checkpoint.pt"
    state = torch.load(path, map_location="cpu") if path.exists() else None
    fresh = state is None
    start = least_squares(gguf, sequences, layers, bridge, args.features, device, dtype) if fresh else None
    run = Run(Head(gguf, layers, bridge, args.features, start, dtype).to(device), args.seed)
    if not fresh:
        if state["config"] != run.head.config:
            raise SystemExit(f"{path} is of a head of another form: {state['config']}; remove it or use another --work")
        run.load(state)
    size = sum(p.numel() for p in run.head.parameters()) / 1e6
    print(f"{len(sequences)} sequences, {answer_tokens(sequences)} answer tokens, {size:.2f} M parameters, {dtype} on {device}")

    def save(finished):
        run.save(path, static_ids, finished)

    train(run, sequences, static, args, save)
    save(finished=True)
    print(f"trained: {run.tokens} answer tokens in {run.seconds:.0f} s")


if __name__ == "__main__":
    main()
