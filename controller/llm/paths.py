"""Paths: the files that a text names, by their paths on this server, by URL or by a bare name."""

import re
from collections.abc import Iterator
from urllib.parse import urlsplit

from controller.rules.mentions import modality_of
from model_catalog.tasks import Modality

FOLDERS = {
    "images": Modality.IMAGE,
    "audios": Modality.AUDIO,
    "videos": Modality.VIDEO,
    "files": None,
    "examples": None,
}
"""The folders that this server serves, and what lies in them; None where it may be of any kind."""

LONGEST_WORD = 2_048
"""Longer runs are read in pieces of this length."""

WORD = re.compile(r"[A-Za-z0-9_./:%~@?&=#+$\\…-]+")
"""What a path or a URL is made of; all else ends it."""

_OWN = re.compile(rf"(?<![\w.-])/(?:{'|'.join(FOLDERS)})/(?=[\w.-]*\w)[\w.…-]+", re.ASCII)
_BARE_OWN = re.compile(rf"(?:public/)?(?:{'|'.join(FOLDERS)})/[\w…-][\w.…-]*\.\w{{1,8}}", re.ASCII)
_URL = re.compile(r"[A-Za-z][A-Za-z0-9+.-]{0,30}://\S|//\w")
_TAIL = ".:?&=#+$_~…\\-"
"""What may stand behind a path or URL without being part of it."""


def words(text: str) -> Iterator[str]:
    """The runs of a text that a path or a URL may be made of, without what merely stands behind them."""
    for run in WORD.finditer(text):
        for start in range(0, len(run[0]), LONGEST_WORD):
            if word := run[0][start : start + LONGEST_WORD].rstrip(_TAIL):
                yield word


def named(text: str) -> Iterator[str]:
    """The files a text names, in its order: what this server serves, and what has the ending of a file."""
    for word in words(text):
        if "/" not in word and "." not in word:
            continue
        start = next((found.start() for found in (_URL.search(word), _OWN.search(word)) if found), 0)
        name = word[start:]
        if own_path(name) or modality_of(name):
            yield name


def own_path(name: str) -> str | None:
    """The path on this server that a path or URL names by its form, None where it has another one."""
    path = name
    if is_url(name):
        path = "/" + _split(name).lstrip("/")
    elif _BARE_OWN.fullmatch(name):
        path = "/" + name.removeprefix("public/")
    path = path.replace("/public/", "/", 1) if path.startswith("/public/") else path
    return path if _OWN.fullmatch(path) else None


def is_url(name: str) -> bool:
    """Whether it names a host."""
    return _URL.match(name) is not None


def host(url: str) -> str:
    """The host that a URL names, empty where it cannot be read."""
    try:
        return (urlsplit(url).hostname or "").rstrip(".")
    except ValueError:
        return ""


def modality(name: str) -> Modality | None:
    """What a file holds, by its ending or its folder."""
    path = own_path(name) or name
    folder = path.split("/")[1] if path.startswith("/") and path.count("/") > 1 else ""
    return modality_of(path) or FOLDERS.get(folder)


def _split(url: str) -> str:
    try:
        return urlsplit(url).path
    except ValueError:
        return ""
