"""The device of a replica, the memory it may take there, and the most it has taken."""

import gc
import logging
import resource
from collections.abc import Callable
from contextlib import suppress
from dataclasses import dataclass

from deployments.errors import ExpertError
from model_catalog.share import CONTEXT_BYTES

__all__ = ["CONTEXT_BYTES", "Holding", "device", "peak", "several"]

logger = logging.getLogger("ray.serve")

SLACK = 0.1
"""By how much more than after its warm-up a replica may hold, once it has let go of what it can."""

LEAST_SLACK = 64 << 20
"""The least of it: an allocator takes blocks of up to 20 MiB, and libraries a workspace."""


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


def several(share: float) -> bool:
    """Whether a share is of more than one GPU, so that a model is split among them."""
    return share > 1


def peak(device: str) -> int:
    """The most memory this process has held so far, in bytes: of its GPUs (as reserved), or resident."""
    if device != "cuda":
        return resource.getrusage(resource.RUSAGE_SELF).ru_maxrss << 10
    import torch

    return sum(int(torch.cuda.max_memory_reserved(number)) for number in range(torch.cuda.device_count()))


@dataclass(slots=True)
class Holding:
    """What a process holds of a GPU, and whether it comes back after the memory ran out.

    Attributes:
        held: asks how many bytes are held now.
        release: lets go of what nobody needs.
        usual: bytes held after the warm-up; None before.

    """

    held: Callable[[], int]
    release: Callable[[], None]
    usual: int | None = None

    @classmethod
    def of(cls, device: str) -> "Holding":
        """What this process holds of its GPUs; on the CPU nothing is counted."""
        return cls(_reserved, _empty) if device == "cuda" else cls(lambda: 0, lambda: None)

    def settle(self) -> None:
        """Take what is held now for the usual."""
        self.release()
        self.usual = self.held()

    def returned(self) -> bool:
        """Let go of what is not needed; whether no more than usual is held then, within a tenth."""
        self.release()
        if self.usual is None:
            return True
        return self.held() <= self.usual + max(self.usual * SLACK, LEAST_SLACK)


def _reserved() -> int:
    import torch

    return sum(int(torch.cuda.memory_reserved(number)) for number in range(torch.cuda.device_count()))


def _empty() -> None:
    import torch

    gc.collect()  # an exception may hold tensors in a circle
    with suppress(RuntimeError):
        torch.cuda.empty_cache()
