"""Checking: an answer is read while it is written; what it names must exist, and what it shows be ours.

The text is read in whole tokens (a run of a path's characters, a link, a tag) and each is held back until it
has ended, so that the answer is the same however it was cut into pieces. A file that does not exist gives way
to the one that is meant, or to words; pictures and links of other hosts become plain text.

HuggingGPT's web client finds files by a pattern that runs over words, blanks, dots, hyphens and slashes.
Where such a run would begin before a file's path, the path is put in backquotes, which end it.
"""

import re
from collections.abc import AsyncGenerator, AsyncIterator

from controller.llm.mending import NO_FILE, Files, shown
from controller.llm.paths import LONGEST_WORD, WORD, begin, is_url, own_path, parted, schemeless
from controller.streams import closing

LONGEST_ALT = 300
LONGEST_TARGET = 2_000
LONGEST_TAG = 1_000
"""The most characters of a picture's words, a link's target and a tag; longer ones are none."""

_PLAIN = re.compile(rf"[^!\]<{WORD.pattern[1:-2]}]+")
_TARGET = re.compile(r"\s*(?:<([^<>]*)>|(\S*))")
_DEFINITION = re.compile(r"\]:[\s>]{0,100}(\S{0,300})")
_AUTOLINK = re.compile(r"<([A-Za-z][A-Za-z0-9+.-]{1,31}:[^<>\s]*)>")
_TAG = re.compile(r"</?([A-Za-z][\w:-]*)")
_ACTIVE = re.compile(
    r"applet|audio|base|body|button|embed|form|frame|frameset|iframe|image|img|input|link|math|meta|noscript|"
    r"object|picture|plaintext|script|select|source|style|svg|template|textarea|title|track|video|xmp",
    re.IGNORECASE,
)
_LOADS = re.compile(r"[:/\\&(`%]")
_OPENED = re.compile(r"(?:[A-Za-z][A-Za-z0-9+.-]{0,30}:)?[/\\]{2,}\Z|(?i:https?|ftp|wss?):[/\\]*\Z")
"""What makes a URL of a host in another script than Latin, which begins behind it."""

_DROPPED = re.compile(r"(?i)(?<!\w)(?:sandbox|attachment|file):/*(?=/)")
_QUERY = re.compile(r"[?#][\w=].*")
_RUN = re.compile(r"[/|.\w\s-]")
_CLIENT_FILE = re.compile(r"\.(?:jpg|jpeg|tiff|gif|png|flac|wav|mp4)")
_CUT_SHORT = re.compile(r"(?:…|\.{2,})[\w.-]*", re.ASCII)
_NAME = re.compile(r"[\w./%~@+…-]+", re.ASCII)


async def checked(pieces: AsyncIterator[str], checker: "Checker") -> AsyncGenerator[str]:
    """A whole text, as its pieces come, with what does not exist mended."""
    async with closing(pieces) as steps:
        async for piece in steps:
            if text := checker.feed(piece):
                yield text
    if text := checker.rest():
        yield text


class Checker:
    """Reads an answer piece by piece.

    Attributes:
        named: the paths of this server that the answer has named so far.

    """

    def __init__(self, files: Files) -> None:
        self.named: set[str] = set()
        self._files = files
        self._held = ""
        self._runs = False
        self._last = ""

    def feed(self, text: str) -> str:
        """Take a piece; returns what can be said by now."""
        self._held += text
        return self._read(last=False)

    def rest(self) -> str:
        """What was held back, when the answer has ended."""
        return self._read(last=True)

    def unnamed(self) -> list[str]:
        """The files that were asked for and that the answer has not named."""
        return [
            path for path in dict.fromkeys(item.path for item in self._files.final) if path not in self.named
        ]

    def _read(self, last: bool) -> str:
        said = []
        at = 0
        while at < len(self._held):
            taken = self._take(at, last)
            if taken is None:
                break
            size, text = taken
            at += size
            said.append(text)
        self._held = self._held[at:]
        return "".join(said)

    # Tokens: how many characters, and what is said for them; None where more must come first ----------------

    def _take(self, at: int, last: bool) -> tuple[int, str] | None:
        sign = self._held[at]
        if plain := _PLAIN.match(self._held, at):
            return len(plain[0]), self._put(plain[0])
        if sign in "!]<":
            if at + 1 == len(self._held) and not last:
                return None
            return {"!": self._mark, "]": self._bracket, "<": self._tag}[sign](at, last)
        word = WORD.match(self._held, at, at + LONGEST_WORD)
        assert word is not None  # noqa: S101
        if word.end() == len(self._held) and not last:
            return None
        behind = self._held[word.end() : word.end() + 1]
        if len(word[0]) == LONGEST_WORD and WORD.match(behind):
            return LONGEST_WORD, self._word(word[0]) + self._put(" ")  # so that the parts make no whole again
        opened = _OPENED.search(word[0]) if behind.isalnum() else None
        return len(word[0]), self._word(word[0][: opened.start()] if opened else word[0])

    def _mark(self, at: int, last: bool) -> tuple[int, str] | None:
        """Exclamation marks, which may begin a picture; they are taken off where it has no target."""
        marks = re.compile("!+").match(self._held, at)
        assert marks is not None  # noqa: S101
        open_ = marks.end()
        if open_ == len(self._held) and not last:
            return None
        if self._held[open_ : open_ + 1] != "[":
            return len(marks[0]), self._put(marks[0])
        close = self._find("]", open_ + 1, LONGEST_ALT, last)
        if close is None or (close > 0 and close + 1 == len(self._held) and not last):
            return None
        if close < 0 or self._held[close + 1 : close + 2] != "(":
            return len(marks[0]), ""
        end = self._find(")", close + 2, LONGEST_TARGET, last)
        if end is None:
            return None
        if end < 0:
            return len(marks[0]), ""
        words, target = self._held[open_ + 1 : close], self._held[close + 2 : end]
        before = "" if words.startswith(("!", "[")) else self._put(marks[0][1:])
        return end + 1 - at, before + self._picture(words, target)

    def _bracket(self, at: int, last: bool) -> tuple[int, str] | None:
        """A closing bracket, behind which a link's target or a definition may stand."""
        behind = self._held[at + 1 : at + 2]
        if behind == "(":
            end = self._find(")", at + 2, LONGEST_TARGET, last)
            if end is None:
                return None
            if end < 0:
                return 1, self._put("] ")
            return end + 1 - at, self._link(self._held[at + 2 : end])
        if behind == ":":
            found = _DEFINITION.match(self._held, at)
            assert found is not None  # noqa: S101
            if found.end() == len(self._held) and len(found[1]) < 300 and not last:
                return None
            strange = re.search(r"[:/\\&%]", found[1])
            if strange and self._files.link(_dest(found[1]), image=True) != _dest(found[1]):
                return 2, self._put("] :")
        return 1, self._put("]")

    def _tag(self, at: int, last: bool) -> tuple[int, str] | None:
        """A tag: one that loads or runs something becomes plain text."""
        behind = self._held[at + 1 : at + 2]
        if behind in "!?" and behind:
            return 1, self._put("‹")
        if not (behind.isascii() and behind.isalpha()) and behind != "/":
            return 1, self._put("<")
        end = self._find(">", at + 1, LONGEST_TAG, last)
        if end is None:
            return None
        tag = self._held[at : end + 1] if end > 0 else ""
        if link := _AUTOLINK.fullmatch(tag):
            kept = self._files.link(link[1]) == link[1]
            return len(tag), self._name(link[1], "<{}>") if kept else self._words(link[1])
        name = _TAG.match(tag)
        active = name and (_ACTIVE.fullmatch(name[1]) or _LOADS.search(tag[name.end() : -1].rstrip(" /")))
        return 1, self._put("<" if name and (behind == "/" or not active) else "‹")

    def _find(self, sign: str, start: int, most: int, last: bool) -> int | None:
        """Where a sign stands; -1 where it does not within reach, None where it may yet come."""
        found = self._held.find(sign, start, start + most + 1)
        return None if found < 0 and len(self._held) <= start + most and not last else found

    # What is said ------------------------------------------------------------------------------------------

    def _picture(self, words: str, target: str) -> str:
        dest = _dest(target)
        kept = self._files.link(dest, image=True)
        if kept is not None:
            return self._put("![") + self._words(words) + self._put("](") + self._name(kept) + self._put(")")
        note = f"(a picture on {shown(dest)}, left out)" if is_url(dest) else NO_FILE
        return self._words(words or "picture") + self._put(f" {note}")

    def _link(self, target: str) -> str:
        kept = self._files.link(_dest(target))
        if kept is not None:
            return self._put("](") + self._name(kept) + self._put(")")
        return self._put("] (") + self._words(target) + self._put(")")

    def _words(self, text: str) -> str:
        """Running text in which nothing is a link."""
        said = []
        at = 0
        for word in WORD.finditer(text):
            said += [self._put(_inert(text[at : word.start()])), self._word(word[0])]
            at = word.end()
        return "".join([*said, self._put(_inert(text[at:]))])

    def _word(self, word: str) -> str:
        """A run that may hold paths and URLs."""
        said = []
        word = _DROPPED.sub("", word)
        while word:
            core, behind = parted(word)
            start = begin(core)
            if start:
                said.append(self._plain(core[:start].rstrip("/")))
                word = word[start:]
            elif is_url(core):
                said += [self._name(self._files.url(core)), self._put(behind)]
                word = ""
            elif (found := _NAME.match(core)) and own_path(parted(found[0])[0]):
                text, size = self._own(word, parted(found[0])[0])
                said.append(text)
                word = word[size:]
            else:
                said += [self._plain(core), self._put(behind)]
                word = ""
        return "".join(said)

    def _own(self, word: str, name: str) -> tuple[str, int]:
        """What is said for a path on this server, and how much of the run that is."""
        settled = self._files.path(name)
        behind = word[len(name) :]
        query = _QUERY.match(behind)
        dropped = parted(query[0])[0] if query else ""
        if settled != name and (short := _CUT_SHORT.match(behind)):
            dropped = short[0]
        return self._name(settled), len(name) + len(dropped)

    def _plain(self, text: str) -> str:
        """A run without URLs and paths on this server; it may hold other names of files."""
        text = schemeless(text)
        said = []
        at = 0
        for found in _NAME.finditer(text):
            name = parted(found[0])[0]
            said += [self._put(text[at : found.start()]), self._name(self._files.path(name))]
            at = found.start() + len(name)
        return "".join([*said, self._put(text[at:])])

    def _name(self, name: str, form: str = "{}") -> str:
        """A file or another name, kept apart from what clients would take for a part of its path."""
        if path := own_path(name):
            self.named.add(path)
        apart = self._runs and _CLIENT_FILE.search(name)
        return self._put(f"`{name}`" if apart else form.format(name))

    def _put(self, text: str) -> str:
        """Say something, and note whether a run of the web client's pattern is open behind it."""
        said = self._last + text
        size = 0
        while size < len(text) and _RUN.match(text[-1 - size]):
            size += 1
        head, run = said[: len(said) - size], text[len(text) - size :]
        self._runs = "/" in run or head.endswith(("http:", "https:")) or (size == len(text) and self._runs)
        self._last = said[-len("https:") :]
        return text


def _inert(text: str) -> str:
    return re.sub(r"!+\[", "[", text).replace("](", "] (").replace("<", "‹")


def _dest(target: str) -> str:
    found = _TARGET.match(target)
    return (found[1] or found[2] or "") if found else ""
