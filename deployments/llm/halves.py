"""Characters beyond the first 65,536, whose JSON has two halves: endpoints may write them in two deltas."""


class Halves:
    """Text deltas in, whole characters out; a half that stays alone becomes a replacement mark."""

    def __init__(self) -> None:
        self._half = ""

    def take(self, text: str) -> str:
        """A delta with the half before it, and without one at its end."""
        if text.isascii() and not self._half:
            return text
        text = self._half + text
        self._half = text[-1:] if "\ud800" <= text[-1:] <= "\udbff" else ""
        if self._half:
            text = text[:-1]
        return joined(text)


def joined(text: str) -> str:
    """A text with its halves joined, so that it can be sent and stored as UTF-8."""
    return text if text.isascii() else text.encode("utf-16", "surrogatepass").decode("utf-16", "replace")
