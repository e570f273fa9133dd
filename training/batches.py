"""Batches of labelled text for training, and which tokens' rows each of them is scored against."""

from itertools import islice

import numpy as np
import torch

BATCH_TOKENS = 800
SCORED_ROWS = 8192
# What the target thinks of the user's text costs nothing more to learn, but drafts are of answers.
TURN_WEIGHT = 0.4


def token_weights(sequences, vocab):
    """How much of the text each token is, by the target's own probabilities, with its rank in the vocabulary as prior."""
    weights = 300.0 / (torch.arange(vocab).float() + 1000.0)
    for s in sequences:
        chances = torch.from_numpy(s.top_logprobs).float().exp().reshape(-1)
        weights.index_add_(0, torch.from_numpy(s.top_ids).long().reshape(-1), chances)
    return weights


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


def in_groups(items, size):
    """Lists of `size` items; the last may be shorter."""
    source = iter(items)
    while group := list(islice(source, size)):
        yield group


def collate(batch, static, hidden, features):
    """Padded tensors of a batch, and the token ids whose rows are scored. Labels at s speak of the token after s; answers weigh 1."""
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
        labelled = np.isfinite(s.top_logprobs[: s.answer_start - 1, 0])
        weights[row, : s.answer_start - 1] = TURN_WEIGHT * torch.from_numpy(labelled)
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
