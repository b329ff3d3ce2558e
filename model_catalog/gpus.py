"""GPUs and the memory they have, by Ray's name of the type or by a node's label."""

import re
from collections.abc import Mapping

MEMORY_LABEL = "gpu-memory"
"""The label of a node that tells the memory of each of its GPUs: ``24GB``, as in ``cluster.yaml``."""

TYPE_LABEL = "ray.io/accelerator-type"
"""The label that Ray itself gives to a node with GPUs."""

GB = 10**9
GIB = 1 << 30

MEMORY: Mapping[str, int] = {
    "A10G": 24 * GB,
    "A100": 40 * GB,  # Ray has one name for both sizes; where all have 80 GB, the label says so
    "A100-40G": 40 * GB,
    "A100-80G": 80 * GB,
    "AMD-Instinct-MI100": 32 * GB,
    "AMD-Instinct-MI210": 64 * GB,
    "AMD-Instinct-MI250X-MI250": 64 * GB,  # each of its two dies is a device
    "AMD-Instinct-MI300X-OAM": 192 * GB,
    "AMD-Radeon-HD-7900": 20 * GB,
    "B200": 180 * GB,
    "H100": 80 * GB,
    "H20": 96 * GB,
    "H200": 141 * GB,
    "Intel-GPU-Max-1100": 48 * GB,
    "Intel-GPU-Max-1550": 128 * GB,
    "K80": 12 * GB,
    "L4": 24 * GB,
    "L40S": 48 * GB,
    "P100": 16 * GB,
    "P4": 8 * GB,
    "RTX-PRO-6000": 96 * GB,
    "T4": 15 * GB,  # 16 on the box; error correction takes its part
    "V100": 16 * GB,
}
"""Bytes of one GPU by Ray's name of its type: the size on its box, of which CUDA gives about that many."""

_SIZE = re.compile(r"(\d+(?:\.\d+)?)\s*(?:([KMGT])(I?)B?)?", re.IGNORECASE)
_POWERS = {"K": 1, "M": 2, "G": 3, "T": 4}


def gpu_bytes(accelerator: str | None, labels: Mapping[str, str] | None = None) -> int | None:
    """The memory of one GPU of a node, in bytes; None where nothing tells it.

    Args:
        accelerator: Ray's name of the type, such as ``L4``.
        labels: the node's labels. ``gpu-memory`` comes first, for a type may come in several sizes.

    """
    labels = labels or {}
    told = parsed(labels.get(MEMORY_LABEL, ""))
    return told or MEMORY.get(accelerator or labels.get(TYPE_LABEL, ""))


def parsed(size: str) -> int | None:
    """Bytes of a size in words: ``24GB`` (of 1000), ``24GiB`` (of 1024), ``24`` (GB), or None."""
    match = _SIZE.fullmatch(size.strip())
    if match is None:
        return None
    power = _POWERS[(match[2] or "G").upper()]
    return int(float(match[1]) * (1024 if match[3] else 1000) ** power) or None
