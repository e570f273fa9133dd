"""Where and in which number format to compute."""

import time

import torch
import torch.nn.functional as F


def pick_device(name="auto"):
    """'auto' takes a GPU if there is one."""
    if name != "auto":
        return name
    return "cuda" if torch.cuda.is_available() else "cpu"


def pick_dtype(device):
    """bfloat16 where it is faster. Many CPUs emulate it, several times slower than float32, so this is measured."""
    if device != "cpu":
        return torch.bfloat16
    seconds = {dtype: _seconds(dtype) for dtype in (torch.float32, torch.bfloat16)}
    return min(seconds, key=seconds.get)


def _seconds(dtype):
    x, weight = torch.ones(256, 1024, dtype=dtype), torch.ones(1024, 1024, dtype=dtype)
    F.linear(x, weight)
    started = time.perf_counter()
    for _ in range(3):
        F.linear(x, weight)
    return time.perf_counter() - started
