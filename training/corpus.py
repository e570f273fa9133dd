"""Files of synthetic text and of what the target says about it.

text/wave-NNNN.npz    ids (all sequences joined), offsets [n + 1], answer_start [n], temperature [n], kind [n]
labels/wave-NNNN.npz  top_ids, top_logprobs [tokens, 16]: the target's likeliest tokens after each token, -inf where nobody asked it;
                      features [tokens, H] if they are wanted
"""

import os
from dataclasses import dataclass
from pathlib import Path

import numpy as np

TOP = 16


@dataclass
class Sequence:
    ids: np.ndarray
    answer_start: int
    temperature: float
    kind: str
    top_ids: np.ndarray | None = None
    top_logprobs: np.ndarray | None = None
    features: np.ndarray | None = None


def save_atomically(path, **arrays):
    """A file that is there is whole."""
    path = Path(path)
    path.parent.mkdir(parents=True, exist_ok=True)
    unfinished = path.with_name(f".{path.name}.part.npz")
    np.savez(unfinished, **arrays)
    os.replace(unfinished, path)


def save_text(path, sequences):
    save_atomically(
        path,
        ids=np.concatenate([s.ids for s in sequences] or [np.zeros(0)]).astype(np.uint32),
        offsets=np.cumsum([0] + [len(s.ids) for s in sequences]).astype(np.uint32),
        answer_start=np.array([s.answer_start for s in sequences], np.uint32),
        temperature=np.array([s.temperature for s in sequences], np.float32),
        kind=np.array([s.kind for s in sequences], "U16"),
    )


def save_labels(path, sequences):
    names = [name for name in ("top_ids", "top_logprobs", "features") if getattr(sequences[0], name) is not None]
    save_atomically(path, **{name: np.concatenate([getattr(s, name) for s in sequences]) for name in names})


def has_labels(path, features):
    if not path.exists():
        return False
    with np.load(path) as data:
        return not features or "features" in data.files


def load_text(path):
    with np.load(path) as data:
        offsets = data["offsets"].astype(np.int64)
        ids, starts, temperatures, kinds = (data[k] for k in ("ids", "answer_start", "temperature", "kind"))
    return [
        Sequence(ids[a:b].astype(np.int64), int(start), float(temperature), str(kind))
        for a, b, start, temperature, kind in zip(offsets, offsets[1:], starts, temperatures, kinds)
    ]


def load_labelled(text_path, labels_path):
    """The text with the target's words about it; where there are none, the answer's own tokens are taken for certain."""
    sequences = load_text(text_path)
    if not labels_path.exists():
        for sequence in sequences:
            sequence.top_ids = np.zeros((len(sequence.ids), TOP), np.int32)
            sequence.top_ids[:-1, 0] = sequence.ids[1:]
            sequence.top_logprobs = np.full(sequence.top_ids.shape, -np.inf, np.float16)
            sequence.top_logprobs[sequence.answer_start - 1 : -1, 0] = 0
        return sequences
    with np.load(labels_path) as data:
        labels = {name: data[name] for name in data.files}
    at = 0
    for sequence in sequences:
        rows = slice(at, at + len(sequence.ids))
        sequence.top_ids = labels["top_ids"][rows]
        sequence.top_logprobs = labels["top_logprobs"][rows]
        if "features" in labels:
            sequence.features = labels["features"][rows]
        at = rows.stop
    return sequences


def held_out_greedy(work, count):
    """Greedy answers of the last `count` waves: what decoding will be like."""
    return [s for path in waves(work / "text")[-count:] for s in load_text(path) if s.temperature == 0]


def waves(directory):
    """Numbered files in order."""
    return sorted(Path(directory).glob("wave-*.npz"))


def answer_tokens(sequences):
    return sum(len(s.ids) - s.answer_start for s in sequences)
