"""Trains a draft head on labelled text.

    python train.py --model FILE.gguf --work DIRECTORY [--text DIRECTORY ...] [--from HEAD.json] [--layers 0,1,29] [--bridge 2]
                    [--features] [--passes 2] [--processes 1]

The head starts as layers of the target with a bridge that least squares fits, or as a finished head (--from); all of it is trained,
embedding and scored rows stay the target's own. Loss: cross entropy to the target's 16 likeliest tokens, on answers and with less weight
on the user's turn, over the static vocabulary, the batch's tokens and random others. With --features the first 35 % of the run unroll one
step, the rest three. DIRECTORY/checkpoint.pt is written every few minutes and at the end; the same command goes on from it. Several
processes train copies of the head on batches of their own and average the weights now and then (local SGD, arXiv 1805.09767): on a CPU
that is faster than one process with as many threads.
"""

import argparse
import os
import random
import time
from pathlib import Path

import torch
import torch.multiprocessing
import torch.nn.functional as F

from averaging import Average
from batches import batches, collate, in_groups, token_weights
from compute import pick_device, pick_dtype
from corpus import answer_tokens, load_labelled, waves
from head import Head
from head_file import read_head
from head_weights import load_head
from target import Gguf, Target, rms

RATE, BETAS, DECAY = 1e-3, (0.9, 0.95), 0.01
WARM_UP_STEPS, HOLD, RATE_END = 20, 0.5, 0.02
STATIC_ROWS, HEAD_ROWS = 6144, 8192
UNROLL_ONE, UNROLL_STEPS, STEP_WEIGHT = 0.35, 3, 0.9
CHECKPOINT_SECONDS = 300
AVERAGE_STEPS = 30
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


def rate_at(rate, step, progress):
    """Warm-up, constant to half of the run, then linear to 2 %."""
    falling = 1.0 if progress < HOLD else max(RATE_END, (1 - progress) / (1 - HOLD))
    return rate * min(1.0, (step + 1) / WARM_UP_STEPS) * falling


class Run:
    """A head, its optimiser and how far it came; plain data goes to the checkpoint and back."""

    def __init__(self, head, seed, rate, origin):
        self.head, self.seed, self.rate, self.origin = head, seed, rate, origin
        self.optimiser = torch.optim.AdamW(head.parameters(), lr=rate, betas=BETAS, weight_decay=DECAY)
        self.step = self.tokens = self.passes = self.batch = 0
        self.seconds = 0.0

    def save(self, path, scored, text, finished):
        unfinished = path.with_suffix(".part")
        counters = {name: getattr(self, name) for name in ("step", "tokens", "passes", "batch", "seconds", "seed")}
        state = {
            "config": self.head.config,
            "weights": {name: p.detach().cpu() for name, p in self.head.named_parameters()},
            "optimiser": self.optimiser.state_dict(),
            "counters": counters,
            "origin": self.origin,
            "text": text,
            "ids": scored,
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
        """-> share of answer tokens that each unroll step gets right, the loss per token, and the answer tokens."""
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
            right.append((best == flat[0][:, 0])[own == 1].float().mean().item())
        for group in self.optimiser.param_groups:
            group["lr"] = rate_at(self.rate, self.step, progress)
        self.optimiser.zero_grad()
        loss.backward()
        torch.nn.utils.clip_grad_norm_(self.head.parameters(), 1.0)
        self.optimiser.step()
        self.step += 1
        return right, loss.item(), answer_tokens(batch)


class Trainer:
    """One of the processes that train a run. They do the same number of steps, each on its own share of the batches."""

    def __init__(self, run, rank, average, save):
        self.run, self.rank, self.average, self.save = run, rank, average, save
        self.unmerged = 0
        self.saved = self.reported = self.started = time.monotonic()
        self.recent = []

    def train(self, sequences, static, passes):
        """Runs to the end of the passes from wherever the run is."""
        run, total = self.run, passes * answer_tokens(sequences)
        while run.tokens < total:
            source = random.Random(f"{run.seed} {run.passes}")
            for number, shares in enumerate(in_groups(batches(sequences, source), self.average.processes)):
                if number < run.batch:
                    continue
                progress = (run.tokens + self.unmerged * self.average.processes) / total
                steps = UNROLL_STEPS if run.head.features and progress >= UNROLL_ONE else 1
                torch.manual_seed(hash((run.seed, run.step, self.rank)) & 0x7FFFFFFF)
                right, loss, tokens = run.train_step(shares[self.rank % len(shares)], static, steps, min(progress, 1))
                self.unmerged += tokens
                run.batch = number + 1
                self._report(progress, right, loss)
                if run.step % AVERAGE_STEPS == 0:
                    self._merge()
                    if run.tokens >= total:
                        break
            else:
                run.passes, run.batch = run.passes + 1, 0
                self._merge()

    def _merge(self):
        """All processes go on from the mean of their weights; the first keeps what they have."""
        self.run.tokens += self.average(self.rank, list(self.run.head.parameters()), self.unmerged)
        self.unmerged = 0
        now = time.monotonic()
        self.run.seconds, self.started = self.run.seconds + now - self.started, now
        if self.rank == 0 and now - self.saved > CHECKPOINT_SECONDS:
            self.saved = now
            self.save(finished=False)

    def _report(self, progress, right, loss):
        self.recent.append(right)
        if self.rank > 0 or time.monotonic() - self.reported < 10:
            return
        kept = [shares for shares in self.recent if len(shares) == len(right)]
        shares = " ".join(f"{sum(column) / len(kept):.3f}" for column in zip(*kept))
        print(f"step {self.run.step}, {100 * progress:.1f} %, loss {loss:.3f}, right {shares}", flush=True)
        self.reported, self.recent = time.monotonic(), []


class Text:
    """What is trained on, and which of its tokens every batch is scored against."""

    def __init__(self, args, vocab):
        paths = waves(args.work / "text")
        paths = paths[: max(1, len(paths) - args.held_out)]
        paths += [path for directory in args.text for path in waves(directory / "text")]
        self.sequences = [s for p in paths for s in load_labelled(p, p.parent.parent / "labels" / p.name)]
        self.counts = {"sequences": len(self.sequences), "answerTokens": answer_tokens(self.sequences)}
        self.frequency = token_weights(self.sequences, vocab)
        self.static = torch.zeros(vocab, dtype=torch.bool)
        self.static[self.frequency.topk(min(STATIC_ROWS, vocab))[1]] = True


def form(gguf, args):
    """-> (layers, bridge, features), as the options say."""
    last = gguf.dims.layers - 1
    layers = [int(x) for x in args.layers.split(",")] if args.layers else [*range(min(2, last)), last]
    return layers, len(layers) - 1 if args.bridge is None else args.bridge, args.features


def begin(gguf, text, args, device, dtype):
    """-> (a new run: from the target's own layers, or from a finished head; the tokens that it scores)."""
    if args.start is not None:
        head, scored = load_head(gguf, args.start, device, dtype)
        manifest, _ = read_head(args.start)
        origin = {"weights": manifest["weights"]["sha256"], "training": manifest["training"]}
        return Run(head, args.seed, args.rate, origin), scored.int().cpu()
    start = least_squares(gguf, text.sequences, *form(gguf, args), device, dtype)
    run = Run(Head(gguf, *form(gguf, args), start, dtype).to(device), args.seed, args.rate, None)
    return run, text.frequency.topk(min(args.rows or HEAD_ROWS, gguf.dims.vocab))[1].sort()[0].int()


def resume(gguf, state, args, device, dtype):
    layers, bridge, features = (state["config"][name] for name in ("layers", "bridge", "features"))
    if args.start is None and form(gguf, args) != (layers, bridge, features):
        raise SystemExit(f"the checkpoint is of a head of another form: {state['config']}; remove it or use another --work")
    head = Head(gguf, layers, bridge, features, dtype=dtype).to(device)
    run = Run(head, args.seed, args.rate, state["origin"])
    run.load(state)
    return run


def work(rank, args, device, dtype, average):
    """One process from the checkpoint to the end."""
    if average.processes > 1:
        torch.set_num_threads(max(1, torch.get_num_threads() // average.processes))
    gguf = Gguf(args.model)
    text = Text(args, gguf.dims.vocab)
    path = args.work / "checkpoint.pt"
    state = torch.load(path, map_location="cpu")
    run = resume(gguf, state, args, device, dtype)

    def save(finished):
        run.save(path, state["ids"], text.counts, finished)

    Trainer(run, rank, average, save).train(text.sequences, text.static, args.passes)
    if rank == 0:
        save(finished=True)
        print(f"trained: {run.tokens} answer tokens in {run.seconds:.0f} s")


def main():
    parser = argparse.ArgumentParser(description=__doc__.split("\n")[0])
    parser.add_argument("--model", required=True)
    parser.add_argument("--work", required=True, type=Path)
    parser.add_argument("--text", type=Path, action="append", default=[], help="further DIRECTORY with text/ and labels/")
    parser.add_argument("--from", dest="start", help="HEAD.json of a finished head without features that goes on learning")
    parser.add_argument("--layers", help="of the target; default: the first two and the last")
    parser.add_argument("--bridge", type=int, help="index in --layers of the one behind the bridge; default: the last")
    parser.add_argument("--features", action="store_true", help="the bridge also reads the target's hidden states")
    parser.add_argument("--passes", type=float, default=2, help="over the text")
    parser.add_argument("--processes", type=int, default=1, help="whose weights are averaged")
    parser.add_argument("--rate", type=float, default=RATE, help="of learning, at its highest")
    parser.add_argument("--rows", type=int, help="tokens that the finished head scores; default: 8192")
    parser.add_argument("--held-out", type=int, default=1, help="last waves of DIRECTORY that are kept for evaluation")
    parser.add_argument("--seed", type=int, default=0)
    parser.add_argument("--device", default="auto")
    args = parser.parse_args()
    if args.start is not None and (args.layers or args.bridge is not None or args.features or args.rows is not None):
        raise SystemExit("--from takes the form of that head; leave --layers, --bridge, --features and --rows out")
    device = pick_device(args.device)
    dtype = pick_dtype(device)
    gguf = Gguf(args.model)
    text = Text(args, gguf.dims.vocab)
    path = args.work / "checkpoint.pt"
    if not path.exists():
        run, scored = begin(gguf, text, args, device, dtype)
        run.save(path, scored, text.counts, finished=False)
    size = sum(tensor.numel() for tensor in torch.load(path, map_location="cpu")["weights"].values())
    counts = f"{text.counts['sequences']} sequences, {text.counts['answerTokens']} answer tokens"
    print(f"{counts}, {size / 1e6:.2f} M parameters, {dtype} on {device}", flush=True)
    average = Average(args.processes, size)
    if args.processes == 1:
        work(0, args, device, dtype, average)
    else:
        torch.multiprocessing.spawn(work, (args, device, dtype, average), nprocs=args.processes)


if __name__ == "__main__":
    main()
