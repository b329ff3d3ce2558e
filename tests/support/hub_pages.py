"""What the fake Hub answers: its HTTP API."""

import contextlib
import json
import urllib.parse
from collections.abc import Callable, Mapping
from http.server import BaseHTTPRequestHandler
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from tests.support.hub import FakeHub, Repo, Stored

_DATE = "2026-01-01T00:00:00.000Z"
_CHUNK = 1 << 16


class Handler(BaseHTTPRequestHandler):
    """Answers one connection."""

    protocol_version = "HTTP/1.1"

    @property
    def hub(self) -> "FakeHub":
        return self.server.hub  # type: ignore[attr-defined, no-any-return]

    def log_message(self, *_: object) -> None:
        """Say nothing on the console."""

    def handle(self) -> None:
        """A client that goes away in the middle is its own affair."""
        with contextlib.suppress(ConnectionError):
            super().handle()

    def do_HEAD(self) -> None:
        """As GET, without a body."""
        self.do_GET()

    def do_GET(self) -> None:
        """Answer a request."""
        url = urllib.parse.urlsplit(self.path)
        query = urllib.parse.parse_qs(url.query, keep_blank_values=True)
        path = urllib.parse.unquote(url.path)
        self._note(path, query)
        if self.hub.busy:
            self._error(429, "", "Too many requests", self.hub.busy.pop(0))
        elif self.hub.failing:
            self._error(self.hub.failing, "Failing")
        elif (token := self._token()) is not None and token != self.hub.token:
            self._error(401, "", "Invalid credentials in Authorization header")
        elif path.startswith("/api/"):
            self._api(path, query)
        else:
            self._file(path)

    def _stall(self) -> None:
        self.hub.stalled.set()
        self.hub.closing.wait()
        self.close_connection = True

    def _note(self, path: str, query: Mapping[str, list[str]]) -> None:
        from tests.support.hub import Request

        asked = Request(
            self.command,
            path,
            query,
            self._token(),
            self.headers.get("Range"),
            self.headers.get("User-Agent", ""),
        )
        self.hub.requests.append(asked)

    def _token(self) -> str | None:
        scheme, _, token = self.headers.get("Authorization", "").partition(" ")
        return token if scheme == "Bearer" else None

    # The API -------------------------------------------------------------------------------------------

    def _api(self, path: str, query: Mapping[str, list[str]]) -> None:
        if "api" in self.hub.silent:
            self._stall()
            return
        parts = path.strip("/").split("/")[1:]
        if parts == ["models"]:
            self._listing(query)
            return
        if parts == ["whoami-v2"]:
            self._json({"type": "user", "name": "ada"}) if self._token() else self._error(401, "", "Log in.")
            return
        repo = self._repo("/".join(parts[1:3])) if parts[0] == "models" else None
        if repo is None:
            self._unknown()
            return
        rest = parts[3:]
        if rest == ["auth-check"]:
            if self._open(repo):
                self._json({})
        elif not rest or rest[0] == "revision":
            self._info(repo, "/".join(rest[1:]) or "main", query)
        elif rest[0] == "tree" and len(rest) > 1:
            self._tree(repo, rest[1], "/".join(rest[2:]))
        elif rest == ["refs"]:
            refs = [{"name": ref, "ref": ref, "targetCommit": commit} for ref, commit in repo.refs.items()]
            self._json({"branches": refs, "converts": [], "tags": []})
        else:
            self._unknown()

    def _repo(self, name: str) -> "Repo | None":
        repo = self.hub.repos.get(name)
        if repo and repo.facts.get("private") and self._token() is None:
            return None
        return repo

    def _unknown(self) -> None:
        """The Hub tells strangers nothing of what exists."""
        if self._token() is None:
            self._error(401, "RepoNotFound", "Invalid username or password.")
        else:
            self._error(404, "RepoNotFound", "Repository not found")

    def _open(self, repo: "Repo") -> bool:
        """Whether the asker may read the files; otherwise they are told why not."""
        if not repo.facts.get("gated"):
            return True
        if self._token() is None:
            self._error(401, "GatedRepo", f"Access to model {repo.name} is restricted. Please log in.")
            return False
        if self.hub.granted is not None and repo.name not in self.hub.granted:
            self._error(403, "GatedRepo", f"Access to model {repo.name} is restricted.")
            return False
        return True

    def _info(self, repo: "Repo", revision: str, query: Mapping[str, list[str]]) -> None:
        commit = repo.commit(revision) if self.hub.telling is None else repo.refs["main"]
        if commit is None:
            self._error(404, "RevisionNotFound", f"Invalid rev id: {revision}")
            return
        told = _facts(repo) | {"sha": commit if self.hub.telling is None else self.hub.telling or None}
        if "expand" in query or "expand[]" in query:
            told = _expanded(told, query)
        else:
            told["siblings"] = [
                _sibling(name, item, "blobs" in query) for name, item in repo.commits[commit].items()
            ]
        self._json(told)

    def _tree(self, repo: "Repo", revision: str, under: str) -> None:
        if self.hub.failing_trees:
            self._error(self.hub.failing_trees, "Failing")
            return
        commit = repo.commit(revision)
        if commit is None:
            self._error(404, "RevisionNotFound", f"Invalid rev id: {revision}")
            return
        entries = []
        for name, item in repo.commits[commit].items():
            if not name.startswith(f"{under}/" if under else ""):
                continue
            entry: dict[str, Any] = {"type": "file", "path": name, "size": item.size, "oid": item.oid}
            if item.sha256:
                entry["lfs"] = {"oid": item.sha256, "size": item.size, "pointerSize": 134}
            entries.append(entry)
        self._json(entries)

    def _listing(self, query: Mapping[str, list[str]]) -> None:
        found = [repo for repo in self.hub.repos.values() if _asked_for(repo, query)]
        told = [_facts(repo) | {"sha": repo.refs.get("main")} for repo in found]
        sort = query.get("sort", ["trendingScore"])[0]
        told.sort(key=lambda facts: (facts.get(sort) or 0, facts["id"]), reverse=True)
        start, limit = int(query.get("cursor", ["0"])[0]), int(query.get("limit", ["1000"])[0])
        headers = {}
        if start + limit < len(told):
            more = {**query, "cursor": [str(start + limit)]}
            address = f"{self.hub.url}/api/models?{urllib.parse.urlencode(more, doseq=True)}"
            headers["Link"] = f'<{address}>; rel="next"'
        page = told[start : start + limit]
        if "expand" in query or "expand[]" in query:
            page = [_expanded(facts, query) for facts in page]
        self._json(page, headers=headers)

    # Files ---------------------------------------------------------------------------------------------

    def _file(self, path: str) -> None:
        name, _, rest = path.strip("/").partition("/resolve/")
        repo = self._repo(name)
        if repo is None:
            self._unknown()
            return
        if not self._open(repo):
            return
        revision, _, file = rest.partition("/")
        commit = repo.commit(revision)
        if commit is None:
            self._error(404, "RevisionNotFound", f"Invalid rev id: {revision}")
        elif (item := repo.commits[commit].get(file)) is None:
            self._error(404, "EntryNotFound", "Entry not found", {"X-Repo-Commit": commit})
        elif self.hub.failing_files and self.command == "GET":
            self._error(self.hub.failing_files, "Failing")
        else:
            self._send(file, item, commit)

    def _send(self, name: str, item: "Stored", commit: str) -> None:
        if name in self.hub.silent and self.command == "GET":
            self._stall()
            return
        content = item.path.read_bytes()
        headers = {"X-Repo-Commit": commit, "ETag": f'"{item.oid}"', "Accept-Ranges": "bytes"}
        if item.sha256:
            headers |= {"X-Linked-Etag": f'"{item.sha256}"', "X-Linked-Size": str(item.size)}
        asked = self.headers.get("Range", "")
        if self.command == "GET" and asked.startswith("bytes="):
            first, _, last = asked.removeprefix("bytes=").partition("-")
            start, end = int(first), min(int(last) if last else len(content) - 1, len(content) - 1)
            headers["Content-Range"] = f"bytes {start}-{end}/{len(content)}"
            content = content[start : end + 1]
        self._head(206 if "Content-Range" in headers else 200, len(content), headers)
        if self.command == "HEAD":
            return
        cut = self.hub.cuts.pop(name, None)
        for start in range(0, len(content) if cut is None else min(cut, len(content)), _CHUNK):
            self.wfile.write(content[start : min(start + _CHUNK, len(content) if cut is None else cut)])
        if cut is not None:
            self.wfile.flush()
            self.close_connection = True

    # Answers -------------------------------------------------------------------------------------------

    def _head(self, status: int, length: int, headers: Mapping[str, str]) -> None:
        self.send_response(status)
        self.send_header("Content-Length", str(length))
        for key, value in headers.items():
            self.send_header(key, value)
        self.end_headers()

    def _json(self, value: Any, status: int = 200, headers: Mapping[str, str] | None = None) -> None:
        body = json.dumps(value).encode()
        self._head(status, len(body), {"Content-Type": "application/json", **(headers or {})})
        if self.command != "HEAD":
            self.wfile.write(body)

    def _error(
        self, status: int, code: str, message: str = "", headers: Mapping[str, str] | None = None
    ) -> None:
        told = {"X-Error-Code": code, "X-Error-Message": message, **(headers or {})}
        self._json({"error": message or code}, status, {key: value for key, value in told.items() if value})


def _facts(repo: "Repo") -> dict[str, Any]:
    """What listings tell of a model: its facts, and what every model has."""
    facts: dict[str, Any] = {
        "_id": repo.name,
        "id": repo.name,
        "modelId": repo.name,
        "private": False,
        "disabled": False,
        "gated": False,
        "downloads": 0,
        "downloadsAllTime": 0,
        "likes": 0,
        "trendingScore": 0,
        "createdAt": _DATE,
        "lastModified": _DATE,
        "library_name": "transformers",
        "tags": [],
    } | repo.facts
    tags = [facts.get("pipeline_tag"), facts["library_name"], *facts["tags"]]
    return facts | {"tags": [tag for tag in dict.fromkeys(tags) if tag]}


def _expanded(facts: Mapping[str, Any], query: Mapping[str, list[str]]) -> dict[str, Any]:
    """The facts that were asked for by name."""
    names = {"_id", "id", "modelId", *query.get("expand", ()), *query.get("expand[]", ())}
    return {key: value for key, value in facts.items() if key in names}


def _sibling(name: str, item: "Stored", blobs: bool) -> dict[str, Any]:
    if not blobs:
        return {"rfilename": name}
    told: dict[str, Any] = {"rfilename": name, "size": item.size, "blobId": item.oid}
    if item.sha256:
        told["lfs"] = {"sha256": item.sha256, "size": item.size, "pointerSize": 134}
    return told


def _asked_for(repo: "Repo", query: Mapping[str, list[str]]) -> bool:
    """Whether a model is among those that a listing's query asks for."""
    facts = _facts(repo)
    if facts["private"]:
        return False
    provided = [entry["provider"] for entry in facts.get("inferenceProviderMapping", ())]
    checks: dict[str, Callable[[str], bool]] = {
        "pipeline_tag": lambda wanted: facts.get("pipeline_tag") == wanted,
        "gated": lambda wanted: bool(facts["gated"]) == (wanted == "true"),
        "author": lambda wanted: repo.name.startswith(f"{wanted}/"),
        "search": lambda wanted: wanted.lower() in repo.name.lower(),
        "filter": lambda wanted: wanted in facts["tags"],
        "inference_provider": lambda wanted: bool(provided) if wanted == "all" else wanted in provided,
        "inference": lambda wanted: bool(provided),
    }
    return all(checks[key](wanted) for key, several in query.items() if key in checks for wanted in several)
