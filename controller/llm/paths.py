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

_SIGNS = r"A-Za-z0-9_:%~@?&=#+$\\…-"
WORD = re.compile(rf"[./{_SIGNS}]+")
"""What a path or a URL is made of; all else ends it."""

_NAMING = re.compile(rf"(?<![{_SIGNS}])[{_SIGNS}]*+[./][./{_SIGNS}]*+")
_TAIL = ".:?&=#+$_~…\\-"
_OWN = rf"/(?:{'|'.join(FOLDERS)})/(?=[\w.…-]*\w)[\w.…-]+"
_OWN_PATH = re.compile(rf"(?<![\w.-]){_OWN}", re.ASCII)
_BARE_OWN = re.compile(
    rf"/?public{_OWN}|(?:{'|'.join(FOLDERS)})/[\w…-][\w.…-]*\.\w{{1,8}}",
    re.ASCII,
)
_SCHEME = re.compile(r"(?i)(javascript|vbscript|data|blob|file):(?=\w)")
_URL = re.compile(
    r"[A-Za-z][A-Za-z0-9+.-]{0,30}:[/\\]{2,}(?=[\w\[])|(?<![\w+.-])(?i:https?|ftp|wss?):[/\\]*(?=\w)"
    r"|(?<![\w/\\]):?[/\\]{2,}(?=[\w-]+\.)"
)


def parted(word: str) -> tuple[str, str]:
    """A run without what merely stands behind it, and that."""
    core = word.rstrip(_TAIL)
    return core, word[len(core) :]


def named(text: str) -> Iterator[str]:
    """The files and URLs that a text names, in its order."""
    for run in _NAMING.finditer(text):
        for start in range(0, len(run[0]), LONGEST_WORD):
            word = parted(run[0][start : start + LONGEST_WORD])[0]
            name = word[begin(word) :]
            if own_path(name) or is_url(name) or modality_of(name):
                yield name


def begin(word: str) -> int:
    """Where in a run the first URL or path on this server begins; 0 where it has neither."""
    found = (_URL.search(word), _OWN_PATH.search(word))
    return min((match.start() for match in found if match), default=0)


def own_path(name: str) -> str | None:
    """The path on this server that a path or URL names by its form, None where it has another one."""
    path = name
    if is_url(name):
        path = "/" + _path(name).lstrip("/")
    elif _BARE_OWN.fullmatch(name):
        path = "/" + name.lstrip("/")
    path = path.replace("/public/", "/", 1) if path.startswith("/public/") else path
    return path if _OWN_PATH.fullmatch(path) else None


def is_url(name: str) -> bool:
    """Whether it names a host."""
    return _URL.match(name) is not None


def bare(url: str) -> str:
    """A URL without its scheme and slashes, so that no client opens it."""
    while (shorter := _URL.sub("", url)) != url:
        url = shorter
    return schemeless(url)


def schemeless(text: str) -> str:
    """A text in which no scheme that runs or holds something stands."""
    return _SCHEME.sub(r"\1 ", text)


def host(url: str) -> str:
    """The host that a URL names, empty where it cannot be read."""
    try:
        return (urlsplit(url.lstrip(":")).hostname or "").rstrip(".").lower()
    except ValueError:
        return ""


def modality(name: str) -> Modality | None:
    """What a file holds, by its ending or its folder."""
    path = own_path(name) or name
    folder = path.split("/")[1] if path.startswith("/") and path.count("/") > 1 else ""
    return modality_of(path) or FOLDERS.get(folder)


def _path(url: str) -> str:
    try:
        return urlsplit(url.lstrip(":")).path
    except ValueError:
        return ""
