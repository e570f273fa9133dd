"""Text by the target itself: it is given the opening of a user turn (or a whole one), writes the rest of it, then the answer.

    python synthesise.py --model FILE.gguf --work DIRECTORY [--tokens 1000000] [--seed 1] [--batch 224]

A wave of `batch` sequences advances in lock step behind the shared start of the chat. User turns are sampled (T = 1, top 40); answers are
greedy for 60 % and sampled at T = 0.6 for the rest. Turns without an end are dropped, answers are cut where they begin to loop.
Reads DIRECTORY/chat.json and seeds.jsonl (made by scripts/train-head.ts); writes text/wave-NNNN.npz and, since the probabilities are at
hand here, labels/wave-NNNN.npz. A wave is a function of seed and number, so a run that was stopped goes on with the next missing
one. Idea: Magpie, arXiv 2406.08464.
"""

import argparse
import json
import random
from pathlib import Path

import numpy as np
import torch

from compute import pick_device, pick_dtype
from corpus import TOP, Sequence, answer_tokens, load_text, save_labels, save_text
from target import Gguf, Target

POSITIONS = 352
USER_TOKENS_MAX = 110
GIVEN_TOKENS_MAX = 200
ANSWER_TOKENS_MIN = 12
GREEDY_SHARE, ANSWER_TEMPERATURE = 0.6, 0.6
TOP_K = 40
# A wave ends when this share of it is still unfinished: a nearly empty batch is no faster than a full one.
STRAGGLERS = 1 / 6


def loop_start(ids):
    """Where a loop begins that fills the end (three equal blocks, 36 tokens at least), or None."""
    n = len(ids)
    for period in range(1, 61):
        needed = max(36, 3 * period)
        if n >= needed and all(ids[-1 - j] == ids[-1 - j - period] for j in range(needed - period)):
            return n - needed + period
    return None


class Writer:
    """One sequence: what it must say, what it may say, and when it is done."""

    def __init__(self, seed, chat, random_source):
        given = seed["ids"][:GIVEN_TOKENS_MAX]
        self.kind, self.chat = seed["kind"], chat
        self.ids = list(chat["prefix"])
        self.forced = given + chat["suffix"] if seed["complete"] else given
        self.answer_start = len(self.ids) + len(self.forced) if seed["complete"] else None
        self.temperature = 0.0 if random_source.random() < GREEDY_SHARE else ANSWER_TEMPERATURE
        self.written = 0
        self.state = "writing"

    @property
    def answers(self):
        """Does the next token belong to the answer?"""
        return self.state == "writing" and self.answer_start is not None and len(self.ids) >= self.answer_start

    def next_temperature(self):
        return self.temperature if self.answers else 1.0

    def take(self, proposed):
        """Appends the forced token, or the proposed one."""
        forced = bool(self.forced)
        token = self.forced.pop(0) if forced else proposed
        self.ids.append(token)
        if forced:
            return
        if self.answer_start is None:
            self._take_user(token)
        elif token in self.chat["eos"]:
            self.state = "done"
        elif len(self.ids) % 8 == 0 and (start := loop_start(self.ids)) is not None:
            self.ids = self.ids[:start]
            self.state = "done"

    def _take_user(self, token):
        self.written += 1
        if token == self.chat["suffix"][0]:
            self.forced = list(self.chat["suffix"][1:])
            self.answer_start = len(self.ids) + len(self.forced)
        elif token in self.chat["special"] or self.written > USER_TOKENS_MAX:
            self.state = "dropped"

    def sequence(self, top_ids, top_logprobs):
        """What there is of it, with the labels of its rows, or None if that is too little."""
        if self.state == "dropped" or self.answer_start is None:
            return None
        ids = self.ids if self.state == "done" else self.ids[: loop_start(self.ids)]
        if len(ids) - self.answer_start < ANSWER_TOKENS_MIN:
            return None
        n = len(ids)
        return Sequence(np.array(ids), self.answer_start, self.temperature, self.kind, top_ids[:n], top_logprobs[:n])


def write_wave(target, chat, seeds, random_source, generator):
    writers = [Writer(seed, chat, random_source) for seed in seeds]
    live, past = list(range(len(writers))), len(chat["prefix"])
    # Rows of the shared start and of padding stay without labels: no token has a probability there.
    top_ids = np.zeros((len(writers), POSITIONS, TOP), np.int32)
    top_logprobs = np.full((len(writers), POSITIONS, TOP), -np.inf, np.float16)
    cache = target.cache(len(live), POSITIONS)
    prefix = torch.tensor([chat["prefix"]] * len(live), device=target.device)
    hidden = target.forward(prefix, cache)[:, -1:]
    while past < POSITIONS and len(live) > len(writers) * STRAGGLERS:
        logits = target.logits(hidden)[:, -1]
        values, ids = logits.topk(min(TOP_K, logits.shape[-1]))
        writing = [row for row, number in enumerate(live) if writers[number].state == "writing"]
        labelled = [live[row] for row in writing]
        logprobs = values[:, :TOP] - logits.logsumexp(-1, keepdim=True)
        top_ids[labelled, past - 1] = ids[writing, :TOP].int().cpu()
        top_logprobs[labelled, past - 1] = logprobs[writing].half().cpu()
        heat = torch.tensor([writers[number].next_temperature() for number in live], device=target.device)[:, None]
        chances = (values / heat.clamp_min(0.05)).softmax(-1)
        drawn = ids.gather(1, torch.multinomial(chances, 1, generator=generator))
        proposed = torch.where(heat == 0, ids[:, :1], drawn)[:, 0].tolist()
        for number, token in zip(live, proposed):
            if writers[number].state == "writing":
                writers[number].take(token)
        kept = [row for row, number in enumerate(live) if writers[number].state == "writing"]
        if not kept:
            break
        # Finished sequences ride along until enough of them make a smaller batch worth the copy.
        if len(kept) < 0.85 * len(live):
            index = torch.tensor(kept, device=target.device)
            for layer in cache:
                layer[:] = [rows[index] for rows in layer]
            live = [live[row] for row in kept]
        last = torch.tensor([[writers[number].ids[-1]] for number in live], device=target.device)
        hidden = target.forward(last, cache, past)
        past += 1
    written = [writer.sequence(*labels) for writer, *labels in zip(writers, top_ids, top_logprobs)]
    return [sequence for sequence in written if sequence is not None]


def main():
    parser = argparse.ArgumentParser(description=__doc__.split("\n")[0])
    parser.add_argument("--model", required=True)
    parser.add_argument("--work", required=True, type=Path)
    parser.add_argument("--tokens", type=int, default=1_000_000, help="answer tokens to reach")
    parser.add_argument("--seed", type=int, default=1)
    parser.add_argument("--batch", type=int, default=224)
    parser.add_argument("--device", default="auto")
    args = parser.parse_args()
    device = pick_device(args.device)
    target = Target(Gguf(args.model), pick_dtype(device), device, POSITIONS)
    chat = json.loads((args.work / "chat.json").read_text())
    seeds = [json.loads(line) for line in (args.work / "seeds.jsonl").open()]
    total, number = 0, 0
    while total < args.tokens:
        path = args.work / "text" / f"wave-{number:04d}.npz"
        if path.exists():
            sequences = load_text(path)
        else:
            random_source = random.Random(f"{args.seed} {number}")
            generator = torch.Generator(device).manual_seed(args.seed * 100_003 + number)
            chosen = [seeds[(number * args.batch + i) % len(seeds)] for i in range(args.batch)]
            with torch.no_grad():
                sequences = write_wave(target, chat, chosen, random_source, generator)
            save_labels(args.work / "labels" / path.name, sequences)
            save_text(path, sequences)
        total, number = total + answer_tokens(sequences), number + 1
        print(f"wave {number}: {total} of {args.tokens} answer tokens", flush=True)


if __name__ == "__main__":
    main()
