"""JSON as LLMs write it, read while it is written.

Read beside JSON proper: single quotes, Python's ``None`` and ``True``, names without quotes, commas too many
or too few, quotes inside of a text that were not escaped, raw line breaks, backslashes that escape nothing.
Each character is looked at once.
"""

import re
from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

DEEPEST = 64
"""Brackets within brackets; what is deeper is not read."""

_PARTING = re.compile(r"[\s,]*")
_SPACE = re.compile(r"\s*")
_WORD = re.compile(r"[\w.+$-]*")
_PLAIN = {'"': re.compile(r'[^"\\]*'), "'": re.compile(r"[^'\\]*")}
_NUMBER = re.compile(r"[+-]?\d{1,40}(\.\d{0,40})?([eE][+-]?\d{1,3})?", re.ASCII)
_NAMES = {
    "true": True, "True": True, "false": False, "False": False,
    "null": None, "None": None, "undefined": None, "NaN": None,
}  # fmt: skip
_ESCAPES = {"n": "\n", "t": "\t", "r": "\r", "b": "\b", "f": "\f", '"': '"', "'": "'", "\\": "\\", "/": "/"}
_HEX = frozenset("0123456789abcdefABCDEF")
_ODD = "\ufffd"

Place = tuple[str | int, ...]
"""Where a value stands: names in objects, positions in lists."""

Told = Callable[[Place, Any], None]


@dataclass(slots=True)
class Frame:
    """An object or a list that is being written.

    Attributes:
        value: what of it is there.
        name: in an object, the name whose value comes next.
        colon: whether a colon comes next.

    """

    value: dict[str, Any] | list[Any]
    name: str | None = None
    colon: bool = False

    @property
    def place(self) -> str | int:
        """Where in it the next value stands."""
        return len(self.value) if isinstance(self.value, list) else self.name or ""


class JsonStream:
    """One JSON value, an object or a list, from text that comes in pieces.

    Attributes:
        value: the value, once ``done``.
        done: whether it is whole.
        failed: whether what came is no JSON.
        frames: what is open, the outermost first.

    """

    def __init__(self, on_value: Told, on_words: Told) -> None:
        """Prepare to read.

        Args:
            on_value: told each value as it ends, of the outermost one or two levels, with its place.
            on_words: told the texts of the outermost level piece by piece, while they are written.

        """
        self.value: Any = None
        self.done = False
        self.failed = False
        self.frames: list[Frame] = []
        self._on_value = on_value
        self._on_words = on_words
        self._state = self._between
        self._pieces: list[str] = []
        self._quote = ""
        self._gap: list[str] = []
        self._escape = ""
        self._high: int | None = None  # the first half of a character written as two

    def feed(self, text: str, at: int = 0) -> int:
        """Read on from a position; returns the one behind what was read: the text's end, or the value's."""
        while at < len(text) and not (self.done or self.failed):
            at = self._state(text, at)
        return at

    # Between texts and words -----------------------------------------------------------------------------

    def _between(self, text: str, at: int) -> int:
        at = _span(_PARTING, text, at)
        if at == len(text):
            return at
        sign = text[at]
        frame = self.frames[-1] if self.frames else None
        if frame is not None and frame.colon:
            if sign != ":":
                return self._fail(at)
            frame.colon = False
        elif sign in "{[":
            return self._open(frame, sign, at)
        elif sign in "}]":
            return self._close(frame, sign, at)
        elif frame is None:
            return self._fail(at)
        elif sign in _PLAIN:
            self._quote, self._pieces, self._state = sign, [], self._in_text
        elif _span(_WORD, text, at) > at:
            self._pieces, self._state = [], self._in_word
            return at
        else:
            return self._fail(at)
        return at + 1

    def _fail(self, at: int) -> int:
        """Give up before the character at ``at``, which was not read."""
        self.failed = True
        return at

    def _open(self, frame: Frame | None, sign: str, at: int) -> int:
        nameless = frame is not None and isinstance(frame.value, dict) and frame.name is None
        if nameless or len(self.frames) >= DEEPEST:
            return self._fail(at)
        self.frames.append(Frame({} if sign == "{" else []))
        return at + 1

    def _close(self, frame: Frame | None, sign: str, at: int) -> int:
        if frame is None or isinstance(frame.value, dict) != (sign == "}") or frame.name is not None:
            return self._fail(at)
        self.frames.pop()
        self._put(frame.value)
        return at + 1

    def _put(self, value: Any) -> None:
        """A value has ended: it belongs into what is open."""
        if not self.frames:
            self.value, self.done = value, True
            return
        frame = self.frames[-1]
        if isinstance(frame.value, dict) and frame.name is None:
            frame.name, frame.colon = str(value), True
            return
        place = tuple(each.place for each in self.frames) if len(self.frames) <= 2 else ()
        if isinstance(frame.value, list):
            frame.value.append(value)
        else:
            frame.value[frame.name or ""] = value
            frame.name = None
        if place:
            self._on_value(place, value)

    # Words: numbers, true, null, names without quotes -------------------------------------------------------

    def _in_word(self, text: str, at: int) -> int:
        end = _span(_WORD, text, at)
        self._pieces.append(text[at:end])
        if end == len(text):
            return end
        self._state = self._between
        word = "".join(self._pieces)
        frame = self.frames[-1]
        if isinstance(frame.value, dict) and frame.name is None:
            self._put(word)
        elif word in _NAMES:
            self._put(_NAMES[word])
        elif number := _NUMBER.fullmatch(word):
            self._put(float(word) if number[1] or number[2] else int(word))
        else:
            return self._fail(end)
        return end

    # Texts --------------------------------------------------------------------------------------------------

    def _in_text(self, text: str, at: int) -> int:
        end = _span(_PLAIN[self._quote], text, at)
        self._add(text[at:end])
        if end == len(text):
            return end
        if text[end] == "\\":
            self._escape, self._state = "", self._in_escape
        else:
            self._gap, self._state = [], self._behind_quote
        return end + 1

    def _behind_quote(self, text: str, at: int) -> int:
        """A quote ends a text only where what follows does; else it was not escaped."""
        end = _span(_SPACE, text, at)
        self._gap.append(text[at:end])
        if end == len(text):
            return end
        frame = self.frames[-1]
        named = isinstance(frame.value, dict) and frame.name is None
        broken = text[end] in _PLAIN and any(self._gap)  # a comma is missing
        if text[end] in (",:}]" if named else ",}]") or broken:
            self._add("")
            self._state = self._between
            self._put("".join(self._pieces))
        else:
            self._add("".join([self._quote, *self._gap]))
            self._state = self._in_text
        return end

    def _in_escape(self, text: str, at: int) -> int:
        sign = text[at]
        if self._escape:
            if sign in _HEX:
                self._escape += sign
                if len(self._escape) == 5:
                    self._add_code(int(self._escape[1:], 16))
                    self._state = self._in_text
                return at + 1
            self._add(f"\\{self._escape}")
        elif sign == "u":
            self._escape = sign
            return at + 1
        else:
            self._add(_ESCAPES.get(sign, f"\\{sign}"))
            at += 1
        self._state = self._in_text
        return at

    def _add_code(self, code: int) -> None:
        """A character by its number; those beyond the first 65,536 are written as two."""
        if 0xD800 <= code < 0xDC00:
            self._add("")
            self._high = code
        elif 0xDC00 <= code < 0xE000 and self._high is not None:
            whole = 0x10000 + ((self._high - 0xD800) << 10) + (code - 0xDC00)
            self._high = None
            self._add(chr(whole))
        else:
            self._add(_ODD if 0xDC00 <= code < 0xE000 else chr(code))

    def _add(self, piece: str) -> None:
        if self._high is not None and (piece or self._state != self._in_text):
            self._high = None
            piece = _ODD + piece
        if not piece:
            return
        self._pieces.append(piece)
        if len(self.frames) == 1 and (name := self.frames[0].name) is not None:
            self._on_words((name,), piece)


def _span(pattern: re.Pattern[str], text: str, at: int) -> int:
    """Where a pattern that may match nothing ends."""
    found = pattern.match(text, at)
    return found.end() if found else at
