"""How often a finished head is right on greedy answers that it was not trained on: by position of the draft, and in tokens per round.

    python evaluate.py --model FILE.gguf --head HEAD.json --work DIRECTORY [--held-out 1]
    python evaluate.py --model FILE.gguf --head HEAD.json --answers FILE.jsonl

The first form takes the last waves of the text; the second any greedy answers of the target, one {"set", "prompt": [ids], "ids": [ids]} a
line (bench/simulate-acceptance.ts reads the same file and plays them through the real planner). A draft only counts while it equals the
target's own tokens, so for greedy answers one pass over the true text gives the outcome of every chain.
"""

import argparse
import json
from pathlib import Path

import numpy as np

from compute import pick_device, pick_dtype
from corpus import held_out_greedy
from head import first_choices
from head_weights import load_head
from target import Gguf

POSITIONS = 8
LENGTHS = (2, 4, 8)
LOOKUP_TOKENS = (8, 2)


def looked_up(ids, at):
    """What followed the latest earlier occurrence of the longest suffix of ids[: at] (2 to 8 tokens)."""
    for length in range(min(LOOKUP_TOKENS[0], at - 1), LOOKUP_TOKENS[1] - 1, -1):
        suffix = ids[at - length : at]
        for start in range(at - length - 1, -1, -1):
            if ids[start : start + length] == suffix:
                return ids[start + length : start + length + POSITIONS]
    return []


def play(ids, start, right, length, with_lookup):
    """Rounds of one answer: (tokens committed, rounds)."""
    at, rounds = start, 0
    while at < len(ids):
        copied = looked_up(ids, at)[:length] if with_lookup else []
        accepted = 0
        if copied:
            while accepted < len(copied) and at + accepted < len(ids) and copied[accepted] == ids[at + accepted]:
                accepted += 1
        else:
            while accepted < length and at + accepted < len(ids) and right[at + accepted - 1]:
                accepted += 1
        at, rounds = at + accepted + 1, rounds + 1
    return min(at, len(ids)) - start, rounds


def report(answers, head, scored):
    """One dictionary for all these answers: (ids, index of the first answer token)."""
    offered, accepted = np.zeros(POSITIONS), np.zeros(POSITIONS)
    played = {(length, lookup): [0, 0] for length in LENGTHS for lookup in (False, True)}
    for ids, start in answers:
        _, right = first_choices(head, scored, ids)
        for at in range(start, len(ids)):
            for k in range(min(POSITIONS, len(ids) - at)):
                offered[k] += 1
                if not right[at + k - 1]:
                    break
                accepted[k] += 1
        for (length, lookup), totals in played.items():
            tokens, rounds = play(ids, start, right, length, lookup)
            totals[0] += tokens
            totals[1] += rounds
    return {
        "answers": len(answers),
        "acceptance": [round(float(a / max(o, 1)), 3) for a, o in zip(accepted, offered)],
        "tokensPerRound": {
            f"{'lookup, else head' if lookup else 'head'} {length}": round(tokens / max(rounds, 1), 2)
            for (length, lookup), (tokens, rounds) in played.items()
        },
    }


def main():
    parser = argparse.ArgumentParser(description=__doc__.split("\n")[0])
    parser.add_argument("--model", required=True)
    parser.add_argument("--head", required=True)
    parser.add_argument("--work", type=Path)
    parser.add_argument("--held-out", type=int, default=1)
    parser.add_argument("--answers", type=Path)
    parser.add_argument("--device", default="auto")
    args = parser.parse_args()
    device = pick_device(args.device)
    gguf = Gguf(args.model)
    head, scored = load_head(gguf, args.head, device, pick_dtype(device))
    sets = {}
    if args.answers is not None:
        for line in args.answers.open():
            entry = json.loads(line)
            sets.setdefault(entry.get("set", "all"), []).append((entry["prompt"] + entry["ids"], len(entry["prompt"])))
    else:
        for s in held_out_greedy(args.work, args.held_out):
            sets.setdefault(s.kind, []).append((s.ids.tolist(), s.answer_start))
    for name, answers in sets.items():
        print(json.dumps({"set": name, **report(answers, head, scored)}))


if __name__ == "__main__":
    main()
