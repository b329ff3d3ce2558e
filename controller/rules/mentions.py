"""Mentions: the files and the quoted texts that a request names."""

import re
from collections.abc import Callable, Iterator
from dataclasses import dataclass

from model_catalog.tasks import Modality

_EXTENSIONS = {
    Modality.IMAGE: "png jpg jpeg gif webp bmp tif tiff",
    Modality.AUDIO: "wav mp3 flac ogg oga opus m4a aac wma aiff",
    Modality.VIDEO: "mp4 webm mov avi mkv mpg mpeg m4v wmv flv",
    Modality.TABLE: "csv tsv xlsx xls parquet",
    Modality.TEXT: "txt md",
}
_MODALITIES = {ending: modality for modality, endings in _EXTENSIONS.items() for ending in endings.split()}

_LETTER = r"[^\s'\"“”‘’„«»`<>()\[\]{}|]"
_WORDS = re.compile(rf"https?://(?:{_LETTER}|\({_LETTER}{{0,200}}\))+|{_LETTER}+", re.IGNORECASE)
_PARTS = re.compile(r"[^,;]+")
_QUOTES = {"'": "'", '"': '"', "“": "”", "‘": "’", "„": "“”", "«": "»", "`": "`"}
_OPENERS = re.compile(f"[{''.join(_QUOTES)}]")
_CLOSERS = {opener: re.compile(rf"[{marks}](?!\w)") for opener, marks in _QUOTES.items()}
_PUNCTUATION = ",;:!?*"
_PAGE = re.compile(r"^[^?#]*\.(?:html?|xhtml|php|aspx?|jsp)(?:[?#]|$)", re.IGNORECASE)
_LONGEST_NAME = 2048
_MOST_NAME_WORDS = 6
_HINT_LENGTH = 60
"""How many characters before a URL may say what it holds."""


@dataclass(frozen=True, slots=True)
class Mention:
    """A file or a quoted text, and where it stands in the request (quotation marks included)."""

    value: str
    modality: Modality
    start: int
    end: int
    file: bool = False


Hint = Callable[[str], Modality | None]
"""What the words before an address say it holds."""


def modality_of(name: str) -> Modality | None:
    """What a file holds, by the ending of its path or URL."""
    path = re.split(r"[?#]", name, maxsplit=1)[0] if _is_url(name) else name
    stem, dot, ending = path.rpartition(".")
    return _MODALITIES.get(ending.lower()) if dot and stem and not stem.endswith("/") else None


def find_mentions(text: str, hint: Hint = lambda _: None) -> list[Mention]:
    """Every quoted text and file of a request, in order; a quoted file name is a file.

    Args:
        text: the request.
        hint: asked about a URL whose ending tells nothing; without an answer it is taken for a page.

    """
    quotes = list(_quotes(text))
    found: list[Mention] = []
    cursor = 0
    for quote in quotes:
        found += _files(text, cursor, quote.start, hint)
        found.append(quote)
        cursor = quote.end
    found += _files(text, cursor, len(text), hint)
    return found


def _is_url(name: str) -> bool:
    return name.lower().startswith(("http://", "https://"))


def _quotes(text: str) -> Iterator[Mention]:
    unclosed: set[str] = set()
    cursor = 0
    while opener := _OPENERS.search(text, cursor):
        start, mark = opener.start(), opener[0]
        cursor = start + 1
        if mark in unclosed or not _opens(text, start):
            continue
        closer = _CLOSERS[mark].search(text, cursor)
        if closer is None:
            unclosed.add(mark)
        elif content := text[start + 1 : closer.start()].strip():
            cursor = closer.end()
            yield _quoted(content, start, cursor)


def _opens(text: str, start: int) -> bool:
    """Whether the mark at ``start`` opens a quotation: an apostrophe stands within or behind a word."""
    behind = text[start + 1 : start + 2]
    before = text[start - 1] if start else " "
    return not before.isalnum() and bool(behind) and (text[start] == "«" or not behind.isspace())


def _quoted(content: str, start: int, end: int) -> Mention:
    named = len(content) <= _LONGEST_NAME and len(content.split()) <= _MOST_NAME_WORDS
    modality = modality_of(content) if named else None
    return Mention(content, modality or Modality.TEXT, start, end, file=modality is not None)


def _files(text: str, start: int, end: int, hint: Hint) -> Iterator[Mention]:
    for word in _WORDS.finditer(text, start, end):
        apart = (
            [(0, word[0])]
            if _is_url(word[0])
            else [(part.start(), part[0]) for part in _PARTS.finditer(word[0])]
        )
        for offset, part in apart:
            name = part.lstrip(_PUNCTUATION).rstrip(_PUNCTUATION + ".")
            modality = modality_of(name)
            if modality is None and _is_url(name):
                before = text[max(start, word.start() - _HINT_LENGTH) : word.start()]
                modality = (None if _PAGE.search(name) else hint(before)) or Modality.TEXT
            if modality is not None:
                first = word.start() + offset + part.index(name)
                yield Mention(name, modality, first, first + len(name), file=True)
