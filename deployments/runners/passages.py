"""Long texts cut into passages that a model can read, without losing a word."""

from collections.abc import Callable, Sequence

from deployments.runners import sentences

Count = Callable[[Sequence[str]], Sequence[int]]
"""Numbers of tokens of texts."""


def passages(text: str, room: int, count: Count) -> list[str]:
    """A text in passages of whole sentences, about equally long.

    Args:
        text: the text.
        room: the most tokens of a passage.
        count: the model's measure.

    """
    units = sentences_within(text, room, count)
    sizes = list(count([f" {unit}" for unit in units])) if units else []  # the blank before it counts, too
    wanted = sum(sizes) / max(1, -(-sum(sizes) // room))
    found: list[list[str]] = []
    size = 0
    for unit, length in zip(units, sizes, strict=True):
        if not found or size >= wanted or size + length > room:
            found.append([])
            size = 0
        found[-1].append(unit)
        size += length
    return [" ".join(units) for units in found]


def sentences_within(text: str, room: int, count: Count) -> list[str]:
    """The sentences of a text; one of more than ``room`` tokens is cut, between words where it has blanks."""
    whole = sentences.split(text)
    return [
        part
        for sentence, size in zip(whole, count(whole) if whole else (), strict=True)
        for part in ([sentence] if size <= room else _cut(sentence, room, count))
    ]


def _cut(text: str, room: int, count: Count) -> list[str]:
    """A long piece in halves, until each fits."""
    if len(text) < 2 or count([text])[0] <= room:
        return [text]
    middle = len(text) // 2
    blank = text.rfind(" ", 1, middle + 1)
    at = blank if blank > len(text) // 4 else middle
    return [part for half in (text[:at], text[at:]) for part in _cut(half.strip(), room, count) if part]
