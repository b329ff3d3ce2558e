"""Leaves out what a reasoning model thinks aloud before its answer."""

_OPEN = "<think>"
_CLOSE = "</think>"


class Thoughts:
    """Text deltas in, the answer's deltas out: a ``<think>`` part at the start is left out."""

    def __init__(self) -> None:
        self._held = ""
        self._state = "start"

    def take(self, text: str) -> str:
        """What of a delta, and of what was held back, is the answer's."""
        if self._state == "answer":
            return text
        self._held += text
        if self._state == "start":
            begun = self._held.lstrip()
            if begun.startswith(_OPEN):
                self._state, self._held = "thought", begun[len(_OPEN) :]
            elif not _OPEN.startswith(begun):
                return self._answered(self._held)
        if self._state == "thought":
            _, closed, rest = self._held.partition(_CLOSE)
            if closed:
                self._state, self._held = "end", rest
            else:
                self._held = self._held[-len(_CLOSE) :]
        if self._state == "end" and (rest := self._held.lstrip()):
            return self._answered(rest)
        return ""

    def rest(self) -> str:
        """What is still held back when the text has ended: a start that was no thought."""
        return self._answered(self._held) if self._state == "start" else ""

    def _answered(self, text: str) -> str:
        self._state, self._held = "answer", ""
        return text
