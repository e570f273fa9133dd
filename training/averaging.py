"""The mean of what several processes hold, through shared memory."""

import torch
import torch.multiprocessing


class Average:
    """Made before the processes, handed to each. Without company it costs nothing."""

    def __init__(self, processes, size):
        self.processes = processes
        if processes > 1:
            self._rows = torch.empty(processes, size).share_memory_()
            self._counts = torch.zeros(processes, dtype=torch.long).share_memory_()
            self._barrier = torch.multiprocessing.get_context("spawn").Barrier(processes)

    @torch.no_grad()
    def __call__(self, rank, parameters, count):
        """Every process must call it; sets the parameters to their mean over all, -> the sum of the counts."""
        if self.processes == 1:
            return count
        self._rows[rank] = torch.cat([parameter.reshape(-1).cpu() for parameter in parameters])
        self._counts[rank] = count
        self._barrier.wait()
        mean, total = self._rows.mean(0), int(self._counts.sum())
        self._barrier.wait()  # Nobody writes before everybody has read.
        at = 0
        for parameter in parameters:
            parameter.copy_(mean[at : at + parameter.numel()].view_as(parameter))
            at += parameter.numel()
        return total
