"""The device of a replica, the memory it may take there, and the most it has taken."""

import logging
import resource

from deployments.errors import ExpertError

logger = logging.getLogger("ray.serve")

CONTEXT_BYTES = 512 << 20
"""What CUDA's context and libraries take of a share before the first tensor, unseen by the allocator."""


def device(share: float) -> str:
    """``cuda`` for a replica that holds a share of a GPU, else ``cpu``; the share is then enforced.

    Ray's fraction of a GPU is bookkeeping only: without a limit of its own, one process takes all it wants.
    Where there is no CUDA, as on a test cluster with logical GPUs, it is ``cpu``, and the log says so.

    Raises:
        ExpertError: the share is too small for CUDA itself.

    """
    if not share:
        return "cpu"
    import torch

    if not torch.cuda.is_available():
        logger.warning("holds %.2f of a GPU, but torch finds no CUDA here: the model runs on the CPU", share)
        return "cpu"
    if share < 1:
        total = torch.cuda.get_device_properties(0).total_memory
        fraction = share - CONTEXT_BYTES / total
        if fraction <= 0:
            raise ExpertError(
                f"A share of {share:g} of this GPU is {share * total / 2**30:.1f} GiB, less than CUDA itself "
                "takes; give the card a larger one."
            )
        torch.cuda.set_per_process_memory_fraction(fraction)
    return "cuda"


def peak(device: str) -> int:
    """The most memory this process has held so far, in bytes: of the GPU (as reserved), or resident."""
    if device != "cuda":
        return resource.getrusage(resource.RUSAGE_SELF).ru_maxrss << 10
    import torch

    return int(torch.cuda.max_memory_reserved())
