"""A Hugging Face Hub on loopback: models, files, listings, and every way in which a hub fails.

The paths, headers and errors are those of the Hub's HTTP API as huggingface_hub 2 uses it.
"""

import hashlib
import json
import threading
from collections.abc import Mapping
from dataclasses import dataclass, field
from functools import cached_property
from http.server import ThreadingHTTPServer
from pathlib import Path
from typing import Any, Self

from tests.support.hub_pages import Handler

LFS = (
    ".safetensors",
    ".bin",
    ".skops",
    ".onnx",
    ".h5",
    ".msgpack",
    ".ckpt",
    ".gguf",
    ".pt",
    ".pth",
    ".model",
)
"""Ends of the names of files that the Hub keeps apart from git, with their sha256."""


@dataclass(frozen=True)
class Stored:
    """A file as the Hub knows it.

    Attributes:
        path: where its bytes are.
        size: its declared size, in bytes.
        oid: the git hash of its contents.
        sha256: its declared sha256; None for a file of git.

    """

    path: Path
    size: int
    oid: str
    sha256: str | None

    @property
    def etag(self) -> str:
        return self.sha256 or self.oid


@dataclass
class Repo:
    """A model with its commits.

    Attributes:
        facts: what listings tell of it, under the Hub's own names (``downloads``, ``pipeline_tag``...).
        commits: the files of each commit.
        refs: the commit of each branch and tag.

    """

    name: str
    facts: dict[str, Any] = field(default_factory=dict)
    commits: dict[str, dict[str, Stored]] = field(default_factory=dict)
    refs: dict[str, str] = field(default_factory=dict)

    def commit(self, revision: str) -> str | None:
        """The commit of a branch, tag or commit; None where there is no such."""
        return revision if revision in self.commits else self.refs.get(revision)


@dataclass(frozen=True)
class Request:
    """A request as it came."""

    method: str
    path: str
    query: Mapping[str, list[str]]
    token: str | None
    range: str | None
    agent: str


class FakeHub:
    """A hub on 127.0.0.1, running from ``start`` (or ``with``) to ``stop``.

    Attributes:
        token: the token of the only account; it may open gated models unless ``granted`` says otherwise.
        granted: the gated models whose terms that account accepted; None for all.
        failing: answer every request with this status; None when all is well.
        failing_files: the same for the downloads of files alone.
        failing_trees: the same for the lists of files alone.
        busy: what the next answers are instead of the true ones, one after the other: 429 with these headers.
        telling: the commit that it tells of every model, whatever it has; "" for none; None for the true one.
        cuts: after how many bytes the next download of a file, by its name, is cut off, once.
        silent: names of files (or ``api``) that are never answered, until ``stop``.
        stalled: set once somebody waits for such an answer.
        requests: what was asked so far.

    """

    def __init__(self, port: int = 0, token: str = "hf_right") -> None:
        self.token = token
        self.granted: set[str] | None = None
        self.failing: int | None = None
        self.failing_files: int | None = None
        self.failing_trees: int | None = None
        self.busy: list[dict[str, str]] = []
        self.telling: str | None = None
        self.cuts: dict[str, int] = {}
        self.silent: set[str] = set()
        self.requests: list[Request] = []
        self.repos: dict[str, Repo] = {}
        self.closing = threading.Event()
        self.stalled = threading.Event()
        self._port = port

    @cached_property
    def _server(self) -> ThreadingHTTPServer:
        server = ThreadingHTTPServer(("127.0.0.1", self._port), Handler)
        server.daemon_threads = True
        server.hub = self  # type: ignore[attr-defined]
        return server

    @property
    def url(self) -> str:
        """What HF_ENDPOINT is to be; of a port that was chosen, before the start too."""
        return f"http://127.0.0.1:{self._port or self._server.server_address[1]}"

    def env(self, home: Path) -> dict[str, str]:
        """The environment of a process that is to use this hub, with its cache under ``home``."""
        return {
            "HF_ENDPOINT": self.url,
            "HF_HOME": str(home),
            "HF_HUB_DISABLE_XET": "1",
            "HF_HUB_DISABLE_TELEMETRY": "1",
            "HF_HUB_DISABLE_PROGRESS_BARS": "1",
        }

    def start(self) -> Self:
        """Begin to answer."""
        threading.Thread(target=self._server.serve_forever, args=(0.02,), daemon=True).start()
        return self

    def stop(self) -> None:
        """End, and free the port."""
        self.closing.set()
        self._server.shutdown()
        self._server.server_close()

    def __enter__(self) -> Self:
        return self.start()

    def __exit__(self, *_: object) -> None:
        self.stop()

    def add(
        self,
        name: str,
        folder: Path,
        *,
        revision: str = "main",
        sha256: Mapping[str, str | None] | None = None,
        sizes: Mapping[str, int] | None = None,
        **facts: Any,
    ) -> str:
        """Publish a folder as the newest commit of a revision; returns the commit.

        Args:
            name: ``owner/name``.
            folder: its files; they are read when they are asked for.
            revision: the branch or tag that the commit gets.
            sha256: declared hashes other than the true ones, by file name; None declares none.
            sizes: declared sizes other than the true ones, by file name.
            facts: what listings tell of it: ``downloads``, ``likes``, ``gated`` ("auto", "manual"),
                ``private``, ``pipeline_tag``, ``library_name``, ``tags``, ``createdAt``, ``cardData``,
                ``safetensors``, ``inferenceProviderMapping``...

        """
        files = {
            path.relative_to(folder).as_posix(): path for path in sorted(folder.rglob("*")) if path.is_file()
        }
        stored = {
            file: _stored(file, path, dict(sha256 or {}), dict(sizes or {})) for file, path in files.items()
        }
        listing = json.dumps({file: item.oid for file, item in stored.items()})
        commit = hashlib.sha1(f"{name} {listing}".encode()).hexdigest()
        repo = self.repos.setdefault(name, Repo(name))
        repo.facts.update(facts)
        repo.commits[commit] = stored
        repo.refs[revision] = commit
        return commit

    def forget(self) -> None:
        """Forget what was asked so far."""
        self.requests.clear()

    def asked(self, method: str | None = None, part: str = "") -> list[str]:
        """Paths of the requests so far, of one method and with ``part`` in them."""
        return [
            item.path
            for item in list(self.requests)
            if method in (None, item.method) and part in item.path and item.path != "/api/agent-harnesses"
        ]


def _stored(name: str, path: Path, sha256: dict[str, str | None], sizes: dict[str, int]) -> Stored:
    content = path.read_bytes()
    oid = hashlib.sha1(b"blob %d\0" % len(content) + content).hexdigest()
    known = hashlib.sha256(content).hexdigest() if name.endswith(LFS) else None
    return Stored(path, sizes.get(name, len(content)), oid, sha256.get(name, known))
