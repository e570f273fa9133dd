"""How much more often a finished head is right than it says, on greedy answers that it was not trained on.

    python calibrate.py --model FILE.gguf --head HEAD.json --work DIRECTORY [--held-out 1]

A head learns the target's law, so it tells how often the target would draw a token; greedy decoding always takes the likeliest one. The log
odds of the head's first choice are shifted by the constant under which what it was right in is likeliest. That is written into HEAD.json as
`greedyShift`; the gateway ends drafts by it. Answers of the last waves that were sampled (T > 0) are left out.
"""

import argparse
from pathlib import Path

import numpy as np

from compute import pick_device, pick_dtype
from corpus import held_out_greedy
from head import first_choices
from head_file import read_head, write_manifest
from head_weights import load_head
from target import Gguf

SHIFTS = np.linspace(-1, 2, 151)
# A chance of 1 has no odds.
CHANCE_MAX = 1 - 1e-6


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
    outcomes = []
    for s in held_out_greedy(args.work, args.held_out):
        answer = slice(s.answer_start - 1, None)
        outcomes.append([values[answer] for values in first_choices(head, scored, s.ids)])
    if not outcomes:
        print("no greedy answers were held out: the head's word is taken as it is")
        return
    told, right = (np.concatenate(parts) for parts in zip(*outcomes))
    shift = round(likeliest_shift(np.clip(told, 1 - CHANCE_MAX, CHANCE_MAX), right), 2)
    manifest, _ = read_head(args.head)
    write_manifest(args.head, {**manifest, "greedyShift": shift})
    print(f"{len(told)} tokens: right {right.mean():.3f}, told {told.mean():.3f}, shift of the log odds {shift:.2f}")


if __name__ == "__main__":
    main()
