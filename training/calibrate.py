"""How much more often a finished head is right than it says, on greedy answers that it was not trained on.

    python calibrate.py --model FILE.gguf --head HEAD.json --work DIRECTORY [--held-out 1]

A head learns the target's law, so it tells how often the target would draw a token; greedy decoding always takes the likeliest one. The log
odds of the head's first choice are shifted by the constant under which what it was right in is likeliest. That is written into HEAD.json as
`greedyShift`; the gateway ends drafts by it. Answers of the last waves that were sampled (T > 0) are left out.
"""

import argparse
import json
from pathlib import Path

import numpy as np
import torch
import torch.nn.functional as F

from compute import pick_device, pick_dtype
from corpus import load_text, waves
from head_weights import load_head
from target import Gguf

SHIFTS = np.linspace(-1, 2, 151)
# A chance of 1 has no odds.
CHANCE_MAX = 1 - 1e-6


@torch.no_grad()
def told_and_right(head, scored, sequence):
    """For each answer token: the chance that the head gives its first choice, and whether that is the token."""
    tokens = torch.from_numpy(sequence.ids).to(scored.device)
    states = head(tokens[None])[0][0, sequence.answer_start - 1 : -1]
    told, first = F.linear(states.to(head.dtype), head.rows[scored]).float().softmax(-1).max(-1)
    return told.cpu().numpy(), (scored[first] == tokens[sequence.answer_start :]).cpu().numpy()


def likeliest_shift(told, right):
    odds = np.log(told / (1 - told))
    chances = 1 / (1 + np.exp(-(odds[:, None] + SHIFTS)))
    likelihood = np.where(right[:, None], np.log(chances), np.log1p(-chances)).mean(0)
    return float(SHIFTS[likelihood.argmax()])


def main():
    parser = argparse.ArgumentParser(description=__doc__.split("\n")[0])
    parser.add_argument("--model", required=True)
    parser.add_argument("--head", required=True, type=Path)
    parser.add_argument("--work", required=True, type=Path)
    parser.add_argument("--held-out", type=int, default=1)
    parser.add_argument("--device", default="auto")
    args = parser.parse_args()
    device = pick_device(args.device)
    head, scored = load_head(Gguf(args.model), args.head, device, pick_dtype(device))
    sequences = [s for path in waves(args.work / "text")[-args.held_out :] for s in load_text(path)]
    outcomes = [told_and_right(head, scored, s) for s in sequences if s.temperature == 0]
    if not outcomes:
        print("no greedy answers were held out: the head's word is taken as it is")
        return
    told, right = (np.concatenate(parts) for parts in zip(*outcomes))
    shift = round(likeliest_shift(np.clip(told, 1 - CHANCE_MAX, CHANCE_MAX), right), 2)
    manifest = json.loads(args.head.read_text())
    args.head.write_text(json.dumps({**manifest, "greedyShift": shift}, indent=2) + "\n")
    print(f"{len(told)} tokens: right {right.mean():.3f}, told {told.mean():.3f}, shift of the log odds {shift:.2f}")


if __name__ == "__main__":
    main()
