"""A checkpoint as the head file that the gateway loads (format: head_file.py).

    python export.py --model FILE.gguf --work DIRECTORY --name NAME --sha256 SUM --out DIRECTORY/NAME
"""

import argparse
from pathlib import Path

import numpy as np
import torch

from head_file import BLOCK, write_head
from head_weights import head_tensors
from target import Gguf


def main():
    parser = argparse.ArgumentParser(description=__doc__.split("\n")[0])
    parser.add_argument("--model", required=True)
    parser.add_argument("--work", required=True, type=Path)
    parser.add_argument("--name", required=True, help="of the target, for people")
    parser.add_argument("--sha256", required=True, help="of the target's file")
    parser.add_argument("--out", required=True, type=Path, help="path without an ending")
    args = parser.parse_args()
    state = torch.load(args.work / "checkpoint.pt", map_location="cpu")
    config, counters = state["config"], state["counters"]
    if config["features"]:
        raise SystemExit("heads that read features cannot be run by the gateway yet; train one without --features")
    dims = Gguf(args.model).dims
    if any(width % BLOCK for width in (dims.hidden, dims.ffn, dims.q_rows)):
        raise SystemExit(f"widths must be multiples of {BLOCK}: hidden {dims.hidden}, ffn {dims.ffn}")
    tensors = head_tensors(state["weights"], len(config["layers"]))
    tensors["ids"] = state["ids"].numpy().astype(np.int32)
    args.out.parent.mkdir(parents=True, exist_ok=True)
    write_head(
        args.out,
        tensors,
        {
            "target": {"name": args.name, "sha256": args.sha256},
            "dims": {
                "hidden": dims.hidden,
                "heads": dims.heads,
                "kvHeads": dims.kv_heads,
                "headDim": dims.head_dim,
                "ffn": dims.ffn,
                "vocab": dims.vocab,
            },
            "layers": config["layers"],
            "bridgeBefore": config["bridge"],
            "draftVocab": len(tensors["ids"]),
            "training": {
                "recipe": "training/README.md",
                "text": state["text"],
                "answerTokensSeen": counters["tokens"],
                "steps": counters["step"],
                "seconds": round(counters["seconds"]),
                "seed": counters["seed"],
                **({} if state["origin"] is None else {"from": state["origin"]}),
            },
        },
    )
    print(f"wrote {args.out}.json and {args.out}.safetensors")


if __name__ == "__main__":
    main()
