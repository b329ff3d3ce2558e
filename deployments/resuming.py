"""Large files of the Hub, fetched so that a download that was broken off goes on where it stopped.

The Hub's library keeps nothing of a file that did not come whole. So files of some size, whose sha256 the Hub
declares, are brought into its cache here, beside a ``.incomplete`` file that stays; the library then finds
them there and links to them. Whoever calls holds the model's lock.
"""

import sys
from collections.abc import Iterable, Mapping
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from pathlib import Path

from deployments import store

LEAST = 16 << 20
"""Bytes from which on a file is worth going on with; the library writes 10 MiB at a time."""

AT_ONCE = 4
"""How many files are fetched at the same time."""

MARK = ".hugginggpt.incomplete"
"""How the names of such halves end."""


@dataclass(frozen=True, slots=True)
class Large:
    """A large file: its name in the repository, and the size and sha256 that the Hub declares."""

    name: str
    size: int
    sha256: str


def large(names: Iterable[str], sizes: Mapping[str, int], sha256: Mapping[str, str]) -> list[Large]:
    """Those of the named files that are worth going on with."""
    return [
        Large(name, sizes[name], sha256[name]) for name in names if name in sha256 and sizes[name] >= LEAST
    ]


def half(blobs: Path, sha256: str) -> Path:
    """Where what came of a file so far is kept."""
    return blobs / f"{sha256}{MARK}"


def came(blobs: Path, sha256: str) -> int:
    """Bytes that came of a file so far."""
    path = half(blobs, sha256)
    return path.stat().st_size if path.is_file() else 0


def fetch(model: str, commit: str, wanted: Iterable[Large], blobs: Path, token: str | bool) -> None:
    """Bring files into the Hub's cache, as blobs; those that are there already are left alone.

    Args:
        model: ``owner/name``.
        commit: at which the files are fetched.
        wanted: the files.
        blobs: the folder of the model's blobs in the Hub's cache.
        token: the operator's token, or False.

    Raises:
        Exception: whatever the Hub's library raises; what came so far stays.

    """
    from huggingface_hub import constants

    if not constants.HF_HUB_DISABLE_XET:  # it fetches in pieces of its own, and larger files
        return
    absent = [
        file
        for file in wanted
        if not (blobs / file.sha256).exists() and file.size <= constants.MAX_HTTP_DOWNLOAD_SIZE
    ]
    blobs.mkdir(parents=True, exist_ok=True)
    with ThreadPoolExecutor(AT_ONCE) as pool:
        list(pool.map(lambda file: _fetch(model, commit, file, blobs, token), _once(absent)))


def _once(files: Iterable[Large]) -> list[Large]:
    """Without files of the same contents."""
    return list({file.sha256: file for file in files}.values())


def _fetch(model: str, commit: str, file: Large, blobs: Path, token: str | bool) -> None:
    from huggingface_hub import hf_hub_url
    from huggingface_hub.file_download import http_get
    from huggingface_hub.utils import build_hf_headers

    path = half(blobs, file.sha256)
    if came(blobs, file.sha256) > file.size:
        path.unlink()
    path.touch()
    with path.open("r+b") as stream:
        begun = stream.seek(0, 2)
        if begun:
            sys.stderr.write(f"{model}: {file.name} goes on at {begun / 1e6:.0f} MB\n")
        http_get(
            hf_hub_url(model, file.name, revision=commit),
            stream,
            resume_size=begun,
            headers=build_hf_headers(token=token),
            expected_size=file.size,
        )
    if store.digest(path) == file.sha256:
        path.replace(blobs / file.sha256)
    else:
        path.unlink()  # the library fetches it anew, and what it gets is checked once more
