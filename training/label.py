"""What the target says about text that was written without labels: its 16 likeliest tokens after every row that an answer token
follows, and with --features its final hidden states.

    python label.py --model FILE.gguf --work DIRECTORY [--features]

One pass over whole sequences, several times cheaper than writing them. Files that are there already are kept.
"""

import argparse
from pathlib import Path

import numpy as np
import torch

from compute import pick_device, pick_dtype
from corpus import TOP, has_labels, load_text, save_labels, waves
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
    """Gives every sequence its labels."""
    for batch in batches(sequences):
        width = max(len(sequences[i].ids) for i in batch)
        ids = torch.zeros(len(batch), width, dtype=torch.long)
        for row, i in enumerate(batch):
            ids[row, : len(sequences[i].ids)] = torch.from_numpy(sequences[i].ids)
        hidden = target.forward(ids.to(target.device))
        for row, i in enumerate(batch):
            sequence = sequences[i]
            start, end = sequence.answer_start - 1, len(sequence.ids)
            logits = target.logits(hidden[row, start:end])
            values, top = logits.topk(min(TOP, logits.shape[-1]))
            sequence.top_ids = np.zeros((end, values.shape[-1]), np.int32)
            sequence.top_ids[start:] = top.int().cpu()
            sequence.top_logprobs = np.full(sequence.top_ids.shape, -np.inf, np.float16)
            sequence.top_logprobs[start:] = (values - logits.logsumexp(-1, keepdim=True)).half().cpu()
            if features:
                sequence.features = hidden[row, :end].half().cpu().numpy()


def main():
    parser = argparse.ArgumentParser(description=__doc__.split("\n")[0])
    parser.add_argument("--model", required=True)
    parser.add_argument("--work", required=True, type=Path)
    parser.add_argument("--features", action="store_true")
    parser.add_argument("--device", default="auto")
    args = parser.parse_args()
    files = [(path, args.work / "labels" / path.name) for path in waves(args.work / "text")]
    missing = [(text, labels) for text, labels in files if not has_labels(labels, args.features)]
    print(f"{len(files) - len(missing)} of {len(files)} waves have labels", flush=True)
    if not missing:
        return
    device = pick_device(args.device)
    target = Target(Gguf(args.model), pick_dtype(device), device)
    for number, (text, labels) in enumerate(missing, 1):
        sequences = load_text(text)
        label(target, sequences, args.features)
        save_labels(labels, sequences)
        print(f"labels {number} of {len(missing)}", flush=True)


if __name__ == "__main__":
    main()
