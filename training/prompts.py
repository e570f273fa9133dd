"""Seeds for self-synthesis: openers of user turns, which the target itself goes on writing, and whole requests made from signature and
docstring of functions of the Python standard library (PSF licence) or of the folders that are given. No benchmark's text is among them.

    python prompts.py COUNT SEED [--shares KIND=SHARE,...] [--functions FOLDER ...]    JSON a line: {"kind", "text", "complete"}
"""

import argparse
import ast
import json
import random
import sysconfig
import textwrap
from pathlib import Path

NAMES = "Maria James Aisha Tom Lena Carlos Mei David Sara Omar Nina Paul Ivy Ben Rosa Kofi Anna Leo Priya Max".split()
THINGS = "apples books pencils eggs tickets marbles cookies stickers shirts flowers cars chairs stamps oranges cups coins".split()
NUMBERS = [2, 3, 4, 5, 6, 7, 8, 9, 10, 12, 15, 18, 20, 24, 25, 30, 36, 40, 45, 50, 60, 80, 100, 120]

OPENERS = {
    "math": [
        "{name} has", "{name} buys", "{name} bought {number} {things}", "A store sells", "A farmer has {number}",
        "There are {number} {things}", "A train travels", "{name} and {other}", "{name} earns ${number}", "If a",
        "How many", "{name} is {number} years old", "A class has {number} students", "A factory makes",
        "{name} reads {number} pages", "Each week {name}", "{name} wants to", "{name} runs", "A recipe", "In a school",
        "The price of", "{name} saves", "A box contains {number} {things}", "At the market", "Find the", "Calculate",
        "What is {number}", "Solve", "A tank", "{name} spent",
    ],
    "code": [
        "Write a Python function", "Write a function that", "Write a Python program", "Implement a",
        "Complete this Python function.\n\ndef ", "Complete this Python function.\n\nfrom typing import List\n\n\ndef ",
        "Complete this Python function.\n\nimport math\n\n\ndef ", "Complete the following code:\n\ndef ",
        "Here is a Python function:\n\n```python\ndef ", "How do I", "Fix this code:\n\n", "Write a class",
        "Explain this code:\n\n```python\n", "def ", "Write a JavaScript function", "Write unit tests for",
        "Write a SQL query", "Create a Python script",
    ],
    "general": [
        "", "", "", "", "Write", "Explain", "What", "How", "Why", "Describe", "Give me", "Summarize", "Translate",
        "Can you", "I", "The", "List", "Compare", "Compose", "Who", "When", "Imagine", "Rewrite", "Suggest", "Draft",
        "Tell me", "Please", "Design", "Is", "Act as", "Read the following", "Edit the", "Classify", "Extract",
    ],
}  # fmt: skip

FUNCTION_REQUESTS = [
    "Complete this Python function.\n\n{code}",
    "Complete this Python function.\n\n{code}",
    "Complete this function:\n\n{code}",
    "Complete this Python function.\n\n```python\n{code}```",
    "Finish the code below.\n\n```python\n{code}```",
    "Write the body of this function.\n\n{code}",
    "{code}",
]

SHARES = {"function": 0.18, "code": 0.22, "math": 0.30, "general": 0.30}
FUNCTION_CHARS = (60, 700)


def documented_functions(folder):
    """Signature and docstring of every documented function under a folder that has a body."""
    found = set()
    for path in folder.rglob("*.py"):
        if {"site-packages", "test", "tests", "idlelib"} & set(path.relative_to(folder).parts):
            continue
        try:
            source = path.read_text("utf8")
            tree = ast.parse(source)
        except (SyntaxError, UnicodeDecodeError):
            continue
        lines = source.split("\n")
        for node in ast.walk(tree):
            if isinstance(node, ast.FunctionDef) and ast.get_docstring(node) and len(node.body) > 1:
                code = textwrap.dedent("\n".join(lines[node.lineno - 1 : node.body[0].end_lineno])) + "\n"
                if FUNCTION_CHARS[0] < len(code) < FUNCTION_CHARS[1]:
                    found.add(code)
    return found


def parse_shares(text):
    """Kinds that are left out get nothing."""
    shares = {kind: float(share) for kind, share in (part.split("=") for part in text.split(","))}
    if not shares.keys() <= SHARES.keys():
        raise SystemExit(f"shares are of {', '.join(SHARES)}, as in function=0.5,math=0.5; not {text}")
    return shares


def seeds(count, seed, shares, folders):
    """Yields {"kind", "text", "complete"}; the same for the same arguments, folders and Python version."""
    random_source = random.Random(seed)
    functions = sorted(set().union(*(documented_functions(folder) for folder in folders)))
    if not functions and shares.get("function"):
        raise SystemExit(f"no documented Python function in {', '.join(map(str, folders))}; give other --functions")
    random_source.shuffle(functions)
    kinds, weights = list(shares), list(shares.values())
    for index in range(count):
        kind = random_source.choices(kinds, weights)[0]
        if kind == "function":
            request = random_source.choice(FUNCTION_REQUESTS)
            yield {"kind": kind, "text": request.format(code=functions[index % len(functions)]), "complete": True}
            continue
        name, other = random_source.sample(NAMES, 2)
        text = random_source.choice(OPENERS[kind]).format(
            name=name, other=other, number=random_source.choice(NUMBERS), things=random_source.choice(THINGS)
        )
        yield {"kind": kind, "text": text, "complete": False}


if __name__ == "__main__":
    parser = argparse.ArgumentParser(description=__doc__.split("\n")[0])
    parser.add_argument("count", type=int)
    parser.add_argument("seed", type=int)
    parser.add_argument("--shares", type=parse_shares, default=SHARES)
    parser.add_argument("--functions", type=Path, action="append", help="folder of Python code; default: the standard library")
    args = parser.parse_args()
    library = Path(sysconfig.get_paths()["stdlib"])
    for seed_line in seeds(args.count, args.seed, args.shares, args.functions or [library]):
        print(json.dumps(seed_line))
