"""What the target says about the text: its 16 likeliest tokens after every token, and with --features its final hidden states.

    python label.py --model FILE.gguf --work DIRECTORY [--features]

One pass over whole sequences, several times cheaper than writing them. Files that are there already are kept.
"""

import argparse
from pathlib import Path

import numpy as np
import torch

from compute import pick_device, pick_dtype
from corpus import TOP, load_text, save_atomically, waves
from target import Gguf, Target

BATCH_TOKENS = 2048


def batches(sequences):
    """Indices in batches of similar lengths, at most BATCH_TOKENS padded tokens each."""
    batch = []
    for index in sorted(range(len(sequences)), key=lambda i: len(sequences[i].ids)):
        if batch and (len(batch) + 1) * len(sequences[index].ids) > BATCH_TOKENS:
            yield batch
            batch = []
        batch.append(index)
    if batch:
        yield batch


@torch.no_grad()
def label(target, sequences, features):
    """-> arrays over all tokens of all sequences in order."""
    labelled = [None] * len(sequences)
    for batch in batches(sequences):
        width = max(len(sequences[i].ids) for i in batch)
        ids = torch.zeros(len(batch), width, dtype=torch.long)
        for row, i in enumerate(batch):
            ids[row, : len(sequences[i].ids)] = torch.from_numpy(sequences[i].ids)
        hidden = target.forward(ids.to(target.device))
        for row, i in enumerate(batch):
            own = hidden[row, : len(sequences[i].ids)]
            logits = target.logits(own)
            values, top = logits.topk(min(TOP, logits.shape[-1]))
            chances = values - logits.logsumexp(-1, keepdim=True)
            kept = {"top_ids": top.int(), "top_logprobs": chances.half()}
            if features:
                kept["features"] = own.half()
            labelled[i] = {name: tensor.cpu().numpy() for name, tensor in kept.items()}
    return {name: np.concatenate([entry[name] for entry in labelled]) for name in labelled[0]}


def main():
    parser = argparse.ArgumentParser(description=__doc__.split("\n")[0])
    parser.add_argument("--model", required=True)
    parser.add_argument("--work", required=True, type=Path)
    parser.add_argument("--features", action="store_true")
    parser.add_argument("--device", default="auto")
    args = parser.parse_args()
    device = pick_device(args.device)
    target = Target(Gguf(args.model), pick_dtype(device), device)
    texts = waves(args.work / "text")
    for number, path in enumerate(texts, 1):
        labels = args.work / "labels" / path.name
        if not labels.exists():
            save_atomically(labels, **label(target, load_text(path), args.features))
        print(f"labels {number} of {len(texts)}", flush=True)


if __name__ == "__main__":
    main()
