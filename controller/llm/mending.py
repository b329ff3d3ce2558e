"""Mending: which files and links an answer may name, and what stands in for those it may not."""

import re
from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from difflib import SequenceMatcher
from itertools import islice
from typing import Any

from controller.llm.paths import bare, host, is_url, modality, named, own_path
from controller.llm.quoting import final_tasks
from controller.outcome import Artifact, Outcome, Status
from controller.plan import Plan
from controller.request import Request
from controller.rules.mentions import modality_of
from model_catalog.tasks import Modality

NO_FILE = "(no such file)"
"""What stands in for a file that does not exist, where no other is meant."""

_HERE = frozenset({"localhost", "127.0.0.1", "::1"})
_MODELS = "https://huggingface.co/"
_ALIKE = 0.8
_LEAST_COMMON = 4
_MOST_COMPARED = 200
_MOST_SEARCHES = 50
_LONGEST_READ = 20_000
_MOST_TEXTS = 1_000
_DEEPEST = 8
_STORED = re.compile(r".*/[0-9a-f]{32}\.[a-z0-9]{1,5}")
_CLIENT_FILE = re.compile(r"\.(?:jpg|jpeg|tiff|gif|png|flac|wav|mp4)", re.IGNORECASE)
_RELATIVE = re.compile(r"[\w.#?=%+~-][\w./#?=%+~-]*|")
_GAP = re.compile(r"…|\.{2,}")
_STRANGE = re.compile(r"[^\w.-]", re.ASCII)


@dataclass(slots=True)
class Files:
    """What an answer may name.

    Attributes:
        final: the files that were asked for.
        made: all files of the run.
        given: the files that the run worked on.
        paths: every path on this server that is known: the run's, and those the conversation names.
        urls: the URLs that the conversation names, as they stand there.
        hosts: the hosts that users name.
        names: names of files elsewhere that somebody said, in small letters.

    """

    final: list[Artifact] = field(default_factory=list)
    made: list[Artifact] = field(default_factory=list)
    given: list[str] = field(default_factory=list)
    paths: dict[str, None] = field(default_factory=dict)
    urls: set[str] = field(default_factory=set)
    hosts: set[str] = field(default_factory=set)
    names: set[str] = field(default_factory=set)
    _searched: dict[str, str | None] = field(default_factory=dict)

    @classmethod
    def of(cls, request: Request, plan: Plan | None = None, outcomes: Sequence[Outcome] = ()) -> "Files":
        """The files of a conversation and of a run."""
        files = cls()
        plan = plan or Plan()
        last = {task.id for task in final_tasks(plan, outcomes)}
        for outcome in outcomes:
            files._see_outcome(outcome, final=outcome.id in last)
        done = {outcome.id for outcome in outcomes if outcome.status is Status.DONE}
        files.given = [item.path for item in request.attachments]
        files.given += [value for task in plan.tasks if task.id in done for value, _ in task.files()]
        files._see(files.given)
        for message in reversed(request.messages):
            found = list(named(message.content))
            files._see(found)
            if message.role != "assistant":
                files.hosts |= {name for found_name in found if (name := host(found_name))}
        return files

    def _see_outcome(self, outcome: Outcome, final: bool) -> None:
        self.made += outcome.artifacts
        self.final += outcome.artifacts if final else ()
        self._see(artifact.path for artifact in outcome.artifacts)
        if outcome.choice is not None:
            self.urls.add(_MODELS + outcome.choice.model)
            self.names.add(outcome.choice.model.casefold())
        for text in islice(_texts([outcome.text, outcome.data]), _MOST_TEXTS):
            self.names |= {name.casefold() for name in named(text[:_LONGEST_READ]) if _is_word(name)}

    def _see(self, names: Iterable[str]) -> None:
        for name in names:
            path = own_path(name)
            if path and (not is_url(name) or host(name) in _HERE or _STORED.fullmatch(path)):
                self.paths[path] = None
            if is_url(name):
                self.urls.add(name)
            elif not path:
                self.names.add(name.casefold())

    # Links ------------------------------------------------------------------------------------------

    def link(self, target: str, image: bool = False) -> str | None:
        """What a link of an answer may lead to, or a picture load; None where it is to be no link."""
        if target in self.urls:
            return target
        path = own_path(target)
        if is_url(target) and not self._ours(target):
            return target if not image and self.trusted(target) else None
        if path is None and re.search(r"[:\\&]", target):
            return None
        if path is not None or modality_of(target):
            mended = self.path(target)
            return None if mended == NO_FILE else mended
        return target if _RELATIVE.fullmatch(target) and not image else None

    def _ours(self, url: str) -> bool:
        """Whether a URL names a file of this server: by a known path, or on a host that may be ours."""
        path = own_path(url)
        return path is not None and (path in self.paths or host(url) in self.hosts | _HERE)

    def trusted(self, url: str) -> bool:
        """Whether a URL may be opened by a click: its host is one that users named, and it loads no file."""
        return host(url) in self.hosts | _HERE and not re.search(r"[\\@]", url) and not _loaded(url)

    def url(self, url: str) -> str:
        """What stands in for a URL in running text."""
        if url in self.urls or (not self._ours(url) and self.trusted(url)):
            return url
        if self._ours(url):
            return self.path(url)
        return f"(a file on {shown(url)}, left out)" if _loaded(url) else bare(url)

    # Paths ------------------------------------------------------------------------------------------

    def path(self, name: str) -> str:
        """What stands in for a path or a file name: itself where it is known, the file meant, or words."""
        path = own_path(name)
        if path in self.paths:
            return str(path)
        if name.casefold() in self.names or (path is None and not is_file(name)):
            return name
        return self._meant(path or name) or NO_FILE

    def _meant(self, name: str) -> str | None:
        """The file that a wrong name stands for, where exactly one can be meant."""
        if name not in self._searched:
            self._searched[name] = self._near(name) if len(self._searched) < _MOST_SEARCHES else None
        return self._searched[name] or self._only(modality(name))

    def _only(self, kind: Modality | None) -> str | None:
        """The one file of a kind: of those asked for, of all that were made, of those worked on."""
        final, made = ([(item.path, item.modality) for item in files] for files in (self.final, self.made))
        given = [(path, modality(path)) for path in self.given if own_path(path)]
        for among in (final, made, given):
            fits = {path for path, holds in among if kind is None or holds is kind}
            if len(fits) == 1:
                return fits.pop()
        return None

    def _near(self, name: str) -> str | None:
        """The one known file whose name is nearly this."""
        stem = _stem(name)
        head = _GAP.split(stem)[0]
        known = [(path, _stem(path)) for path in self.paths]
        same = [path for path, other in known if other == stem]
        if len(same) != 1 and len(head) >= _LEAST_COMMON:
            same = [path for path, other in known if _begins(other, head)]
        if len(same) != 1 and len(stem) >= _LEAST_COMMON:
            same = [path for path, other in known[:_MOST_COMPARED] if _alike(other, stem)]
        return same[0] if len(same) == 1 else None


def is_file(name: str) -> bool:
    """Whether a name without a host is that of a file, or a client would take it for one."""
    return modality(name) is not None or ("/" in name and _CLIENT_FILE.search(name) is not None)


def _texts(value: Any, depth: int = 0) -> Iterator[str]:
    """Every text in a value."""
    if isinstance(value, str):
        yield value
    elif isinstance(value, Mapping | list | tuple) and depth < _DEEPEST:
        items = [*value.keys(), *value.values()] if isinstance(value, Mapping) else value
        for item in items:
            yield from _texts(item, depth + 1)


def _is_word(name: str) -> bool:
    """Whether a name in a result may be repeated: no client takes it for a file of this server."""
    return not own_path(name) and not is_url(name) and ("/" not in name or not _CLIENT_FILE.search(name))


def shown(url: str) -> str:
    """A host, fit to be told."""
    return _STRANGE.sub("", host(url))[:100] or "another host"


def _stem(path: str) -> str:
    """The name without folder and ending."""
    name = path.rpartition("/")[2]
    head, dot, ending = name.rpartition(".")
    return (head if dot and ending.isalnum() and head else name).lower()


def _begins(one: str, head: str) -> bool:
    return one.startswith(head) or (len(one) >= 2 * _LEAST_COMMON and head.startswith(one))


def _loaded(url: str) -> bool:
    """Whether a client may load what a URL names without being asked to."""
    return modality_of(url) is not None or _CLIENT_FILE.search(url) is not None


def _alike(one: str, other: str) -> bool:
    matcher = SequenceMatcher(None, one, other, autojunk=False)
    return matcher.quick_ratio() >= _ALIKE and matcher.ratio() >= _ALIKE
