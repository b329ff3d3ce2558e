"""Leaves out what a reasoning model thinks aloud before its answer.

Where a template writes ``<think>`` itself, an answer has the end of its thoughts alone. What came before
such an end cannot be told from an answer while it comes: an endpoint's first one goes through as it is. From
then on (``Thoughts.unopened``) the text is held back up to that end, unless it begins as JSON does.
"""

import re

_OPEN = "<think>"
_CLOSE = "</think>"
_TAG = re.compile(r"<think>|</think>(?=[ \t]{0,9}[\r\n{\[])")
_CLOSING = re.compile(r"</think>\s*")


class Ends:
    """Cuts a text, as it comes, where thoughts end that did not begin: at a ``</think>`` alone.

    Only one at the end of its line counts, or before a bracket: a text may well speak of the tag.
    """

    def __init__(self) -> None:
        self._held = ""
        self._opened = False

    def take(self, text: str) -> list[str]:
        """What can be told by now: one part, and one more for each such end."""
        parts = [""]
        text, at = self._held + text, 0
        for tag in _TAG.finditer(text):
            if self._opened or tag[0] == _OPEN:
                parts[-1] += text[at : tag.end()]
                self._opened = tag[0] == _OPEN
            else:
                parts[-1] += text[at : tag.start()]
                parts.append("")
            at = tag.end()
        rest = text[at:]
        start = rest.rfind("<")
        may_be_tag = start >= 0 and _begins_tag(rest[start:])
        self._held = rest[start:] if may_be_tag else ""
        parts[-1] += rest[:start] if may_be_tag else rest
        return parts

    def rest(self) -> list[str]:
        """What is left when the text has ended, in parts as of ``take``."""
        held, self._held = self._held, ""
        return ["", ""] if _CLOSING.fullmatch(held) and not self._opened else [held]


class Thoughts:
    """Text deltas in, the answer's deltas out: thoughts at the start are left out.

    Attributes:
        unopened: whether they ended without a beginning; None where that cannot be told.

    """

    def __init__(self, unopened: bool = False) -> None:
        """Begin a text.

        Args:
            unopened: whether the endpoint is known for thoughts without a beginning.

        """
        self.unopened: bool | None = None
        self._known = unopened
        self._ends = Ends()
        self._held = ""
        self._maybe: list[str] = []  # thoughts, or else the answer
        self._state = "start"

    def take(self, text: str) -> str:
        """What of a delta, and of what was held back, is the answer's."""
        if self._state == "answer":
            return self._passed(text)
        if self._state == "held":
            return self._kept(self._ends.take(text))
        self._held += text
        if self._state == "start":
            begun = self._held.lstrip()
            if begun.startswith(_OPEN):
                self._state, self._held = "thought", begun[len(_OPEN) :]
            elif begun.startswith(_CLOSE):
                self._state, self._held = "end", begun[len(_CLOSE) :]
            elif not (_OPEN.startswith(begun) or _CLOSE.startswith(begun)):
                return self._begun(begun)
        if self._state == "thought":
            _, closed, rest = self._held.partition(_CLOSE)
            if closed:
                self._state, self._held = "end", rest
            else:
                self._held = self._held[-len(_CLOSE) :]
        if self._state == "end" and (rest := self._held.lstrip()):
            self._state, self._held = "answer", ""
            return rest
        return ""

    def rest(self, whole: bool = True) -> str:
        """What is still held back when the text has ended, where that was no thought.

        Args:
            whole: whether the text came to its own end.

        """
        if self._state == "held":
            text = self._kept(self._ends.rest())
            if self._state == "held" and whole:
                self.unopened, text = False, "".join(self._maybe)
            return text
        if self._state == "answer":
            self._passed("", last=True)
        return self._held if self._state == "start" else ""

    def _begun(self, begun: str) -> str:
        """The text begins, and with no tag."""
        held, self._held = self._held, ""
        if self._known and begun[0] not in "{[":
            self._state = "held"
            return self._kept(self._ends.take(held))
        self._state = "answer"
        return self._passed(held)

    def _passed(self, text: str, last: bool = False) -> str:
        """An answer's text as it is; whether it held the end of thoughts is noted."""
        if self.unopened is None and len(self._ends.rest() if last else self._ends.take(text)) > 1:
            self.unopened = True
        return text

    def _kept(self, parts: list[str]) -> str:
        """What is behind the end of thoughts, where that has come."""
        if len(parts) == 1:
            self._maybe.append(parts[0])
            return ""
        self.unopened = True
        self._state, self._held = "end", ""
        return self.take("".join(parts[1:]))


def _begins_tag(text: str) -> bool:
    return (
        _OPEN.startswith(text)
        or _CLOSE.startswith(text)
        or (text.startswith(_CLOSE) and not text[len(_CLOSE) :].strip(" \t") and len(text) < len(_CLOSE) + 10)
    )
