"""Makes safetensors of pickled weights; run as a process of its own (``python -m deployments.convert``).

A pickle is a program. It is read by torch's restricted unpickler (``weights_only``) here, once, in a process
without network, without secrets, and with an audit hook that refuses to open a socket or to start a program;
what comes out holds numbers and nothing else.
"""

import ctypes
import os
import re
import resource
import sys
import zipfile
from collections.abc import Iterable, Mapping
from pathlib import Path
from typing import Any

from deployments import aside
from deployments.errors import ExpertError

_NEWUSER, _NEWNET = 0x10000000, 0x40000000  # of unshare(2)
_REFUSED = (
    "socket.",
    "subprocess.",
    "os.system",
    "os.exec",
    "os.fork",
    "os.posix_spawn",
    "os.spawn",
    "pty.",
    "urllib.",
    "http.",
    "ftplib.",
)
COPIES = 4
"""How many times its own size a pickle may hold: tied tensors share their bytes there, and get their own."""

SLACK = 16 << 20
"""Bytes that are always allowed: small files may share much, such as masks."""

_WORKING = 512 << 20  # bytes of memory that the libraries may take beside the tensors
_SHARD = re.compile(r"(.+?)-\d+-of-\d+(\..+)?\.safetensors")


def work(request: Mapping[str, Any]) -> dict[str, Any]:
    """Convert ``{"files": [[pickle, safetensors], ...]}``; answers with the indices that shards need.

    Raises:
        ExpertError: a pickle is damaged, too large inside, or holds more than tensors.

    """
    alone()
    import torch
    from safetensors.torch import save_file

    bound(max(Path(source).stat().st_size for source, _ in request["files"]))
    sys.addaudithook(guard)
    torch.set_num_threads(1)
    indices: dict[str, Any] = {}
    for source, target in request["files"]:
        tensors = read(Path(source))
        save_file(tensors, target, metadata={"format": "pt"})
        _index(indices, Path(target), tensors)
    return {"indices": indices}


def alone() -> None:
    """Leave the network, where the kernel lets us: as root, or in a user namespace of our own."""
    libc = ctypes.CDLL(None, use_errno=True)
    if libc.unshare(_NEWNET) and libc.unshare(_NEWUSER | _NEWNET):
        sys.stderr.write(f"no network namespace ({os.strerror(ctypes.get_errno())}); the audit hook guards\n")


def bound(size: int) -> None:
    """Limit this process to what honest pickles of up to ``size`` bytes need.

    That is memory for what is mapped from the file, for the tensors, and for a second copy of them as they
    are written; and a file for the tensors.
    """
    most = COPIES * size + SLACK
    _lower(resource.RLIMIT_FSIZE, most + SLACK)  # safetensors' header is beside the tensors
    used = re.search(r"VmData:\s*(\d+) kB", Path("/proc/self/status").read_text(encoding="ascii"))
    if used:
        _lower(resource.RLIMIT_DATA, int(used.group(1)) * 1024 + 2 * most + size + _WORKING)


def _lower(what: int, most: int) -> None:
    hard = resource.getrlimit(what)[1]
    limit = most if hard == resource.RLIM_INFINITY else min(most, hard)
    resource.setrlimit(what, (limit, limit))


def guard(event: str, _: object) -> None:
    """Refuse sockets and programs (an audit hook).

    Raises:
        PermissionError: that is what was tried.

    """
    if event.startswith(_REFUSED):
        raise PermissionError(f"{event} is not allowed while weights are converted")


def read(path: Path) -> dict[str, Any]:
    """The tensors of a pickle, each with memory of its own.

    Tied tensors share memory in a pickle; safetensors has no such thing. Each name keeps its values, as a
    copy, so that a model finds under every name what the pickle held; transformers ties them again.

    Raises:
        ExpertError: it is damaged, too large inside, or holds more than tensors.

    """
    import torch

    try:
        _check_packing(path)
        content = torch.load(path, map_location="cpu", weights_only=True, mmap=_is_zip(path))
    except Exception as error:
        words = " ".join(str(error).split())[:200]
        raise ExpertError(
            f"The pickled weights cannot be read as plain tensors, and nothing else of them is: {words}"
        ) from error
    if not isinstance(content, dict) or not content:
        raise ExpertError("The pickled weights are no table of tensors; choose a model with safetensors.")
    if isinstance(content.get("model"), dict):  # a checkpoint of training
        content = content["model"]
    for name, value in content.items():
        if not isinstance(name, str) or not isinstance(value, torch.Tensor) or value.layout != torch.strided:
            raise ExpertError(
                f"The pickled weights hold {str(name)[:80]!r}, which is no plain tensor but a "
                f"{type(value).__name__}; choose a model with safetensors."
            )
    _check_size(content.values(), path)
    seen: set[int] = set()
    tensors = {}
    for name, value in content.items():
        tensor = value.detach().contiguous()
        place = tensor.untyped_storage().data_ptr()
        tensors[name] = tensor.clone() if place in seen else tensor
        seen.add(place)
    return tensors


def _check_size(tensors: Iterable[Any], path: Path) -> None:
    """Refuse tensors that would take far more memory than the file they are views of: a stride may be 0."""
    total = sum(tensor.numel() * tensor.element_size() for tensor in tensors)
    if total > COPIES * path.stat().st_size + SLACK:
        raise ExpertError(
            f"The pickled weights of {path.stat().st_size} bytes claim {total} bytes of tensors; that is no "
            "plain model, and they are not unpacked. Choose a model with safetensors."
        )


def _check_packing(path: Path) -> None:
    """Refuse an archive with compressed entries.

    torch writes none, reads those that it maps into memory wrongly, and unpacks the others whole.
    """
    if _is_zip(path):
        with zipfile.ZipFile(path) as archive:
            if any(entry.compress_type != zipfile.ZIP_STORED for entry in archive.infolist()):
                raise ValueError("it is compressed, which torch does not do")


def _is_zip(path: Path) -> bool:
    """Whether torch 1.6 or later wrote a file; older ones cannot be mapped into memory."""
    with path.open("rb") as file:
        return file.read(2) == b"PK"


def _index(indices: dict[str, Any], target: Path, tensors: Mapping[str, Any]) -> None:
    """Enter a shard's tensors into the index of its set."""
    match = _SHARD.fullmatch(target.name)
    if match is None:
        return
    # A mark of a variant stands after the stem or before the end; no loader looks for an index with it.
    stem = match.group(1).partition(".")[0]
    name = str(target.with_name(f"{stem}.safetensors.index.json"))
    content = indices.setdefault(name, {"metadata": {"total_size": 0}, "weight_map": {}})
    for key, tensor in tensors.items():
        content["metadata"]["total_size"] += tensor.numel() * tensor.element_size()
        content["weight_map"][key] = target.name


if __name__ == "__main__":
    aside.serve(work)
