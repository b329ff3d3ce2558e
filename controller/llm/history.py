"""History: a conversation as chat messages, within a budget of tokens.

The request comes first, then the latest turns. Of older turns a summary of their files is kept: what was
made, under which path or URL, asked for in which words; so "the picture above" is found after any number of
turns. What does not fit the summary is chosen by what the request speaks of, then by age.
"""

import json
import re
from collections.abc import Iterable, Sequence
from dataclasses import dataclass

from controller.llm.paths import modality, named, own_path
from controller.request import Attachment, Message, Request
from deployments.llm.budget import FRAME, size, tokens

__all__ = ["FRAME", "fitted", "shortened", "size", "tokens"]

_LEAST = 64
"""A smaller budget is taken as this."""
_SHARE = 3
"""The summary of older turns has one of so many parts of what the request leaves; one turn has no more."""
_WORDS = 160
"""How many characters of the words that asked for a file."""
_FEWER_WORDS = 48
_LONGEST_ASKED = 500
_LONGEST_PATH = 500
_LONGEST_SEARCHED = 20_000

_TERM = re.compile(r"[^\W_\u2e80-\uffff]{3,}|(?=([\u2e80-\ud7ff]{2}))")

_SUMMARY = "[Files of the earlier conversation, oldest first:]"
_MORE = "\n- and {} more files"
_GOES_ON = "[The words of the earlier conversation are left out.]"
_BEGINS = "[The conversation begins with an answer.]"


def shortened(text: str, budget_tokens: int) -> str:
    """The text, cut in the middle where it is over the budget, with a mark that says so."""
    if tokens(text) <= budget_tokens:
        return text
    low, high = 0, len(text)
    while low < high:
        kept = (low + high + 1) // 2
        if tokens(_cut(text, kept)) <= budget_tokens:
            low = kept
        else:
            high = kept - 1
    return _cut(text, low)


def fitted(request: Request, budget_tokens: int) -> list[dict[str, str]]:
    """The conversation as messages of the roles ``user`` and ``assistant`` in turn; the request is the last.

    Args:
        request: the conversation.
        budget_tokens: the most tokens of all messages, by ``tokens``.

    """
    budget = max(budget_tokens, _LEAST)
    asked = _message("user", _asked(request, budget - FRAME))
    room = budget - size([asked])
    turns = [_turn(message) for message in request.context if message.content.strip()]
    if size(turns) <= room:
        return _alternating([*turns, asked])
    room -= tokens(_GOES_ON) + FRAME
    things = _things(turns)
    share = room // _SHARE
    recent = _recent(turns, room - tokens(_summary(things, request.text, share)), max(share, _LEAST))
    told = "\n".join(turn["content"] for turn in [*recent, asked])
    older = [thing for thing in things if thing.turn < len(turns) - len(recent) and thing.path not in told]
    summary = _summary(older, request.text, room - size(recent))
    head = _message("user", f"{summary}\n{_GOES_ON}" if summary else _GOES_ON)
    return _alternating([head, *recent, asked] if room > 0 else [asked])


def _message(role: str, content: str) -> dict[str, str]:
    return {"role": role, "content": content}


def _turn(message: Message) -> dict[str, str]:
    """A message in a role that stands anywhere in a conversation; a client's system prompt is a note."""
    if message.role == "system":
        return _message("user", f"[Note of the client] {message.content}")
    return _message(message.role, message.content)


def _asked(request: Request, budget: int) -> str:
    """The request's words and its files; the files have at most half of the budget."""
    attached = _attached(request.attachments, budget // 2)
    return shortened(request.text, budget - tokens(attached)) + attached


def _attached(attachments: Sequence[Attachment], budget: int) -> str:
    lines = [f"\n- {item.path} ({item.modality})" for item in attachments]
    if not lines:
        return ""
    head = "\n\nAttached files:"
    more = "\n- and {} more"
    room = budget - tokens(head) - tokens(more.format(len(lines)))
    kept = 0
    while kept < len(lines) and (room := room - tokens(lines[kept])) >= 0:
        kept += 1
    return head + "".join(lines[:kept]) + (more.format(len(lines) - kept) if kept < len(lines) else "")


def _recent(turns: Sequence[dict[str, str]], room: int, longest: int) -> list[dict[str, str]]:
    """The latest turns that fit, none cut out between them; long ones are cut in themselves."""
    kept: list[dict[str, str]] = []
    for turn in reversed(turns):
        short = _message(turn["role"], shortened(turn["content"], longest))
        room -= size([short])
        if room < 0:
            break
        kept.append(short)
    return kept[::-1]


def _alternating(messages: Iterable[dict[str, str]]) -> list[dict[str, str]]:
    """User and assistant in turn, the user first, as the strictest chat templates want it."""
    joined: list[dict[str, str]] = []
    for message in messages:
        if joined and joined[-1]["role"] == message["role"]:
            joined[-1]["content"] += f"\n\n{message['content']}"
        else:
            joined.append(dict(message))
    if joined[0]["role"] == "assistant":
        joined.insert(0, _message("user", _BEGINS))
    return joined


@dataclass(frozen=True, slots=True)
class _Thing:
    """A file of the conversation: where it was first named, by whom, and which words asked for it."""

    path: str
    turn: int
    made: bool
    words: str

    def line(self, longest: int) -> str:
        kind = modality(self.path)
        verb = "made, asked for with" if self.made else "named with"
        words = self.words if len(self.words) <= longest else f"{self.words[:longest]}…"
        return f"\n- {self.path} ({kind or 'file'}; {verb} {json.dumps(words, ensure_ascii=False)})"


def _things(turns: Sequence[dict[str, str]]) -> list[_Thing]:
    """Every file of the conversation, once, in order."""
    found: dict[str, _Thing] = {}
    asked = ""
    for number, turn in enumerate(turns):
        made = turn["role"] == "assistant"
        asked = asked if made else " ".join(turn["content"][:_LONGEST_ASKED].split())
        for path in named(turn["content"]):
            if path not in found and len(path) <= _LONGEST_PATH and (own_path(path) or modality(path)):
                found[path] = _Thing(path, number, made, asked)
    return list(found.values())


def _summary(things: Sequence[_Thing], request: str, budget: int) -> str:
    """The files within a budget, oldest first; empty where there is none, or none fits."""
    terms = _terms(request)
    first = things[0] if things else None
    ranked = sorted(
        things,
        key=lambda thing: (len(terms & _terms(f"{thing.words} {thing.path}")), thing is first, thing.turn),
        reverse=True,
    )
    room = budget - tokens(_SUMMARY)
    lines = _fitting(ranked, _WORDS, room)
    if len(lines) < len(things):
        lines = _fitting(ranked, _FEWER_WORDS, room)
    if len(lines) < len(things):
        lines = _fitting(ranked, _FEWER_WORDS, room - tokens(_MORE.format(len(things))))
    told = "".join(lines[thing] for thing in things if thing in lines)
    more = _MORE.format(len(things) - len(lines)) if len(lines) < len(things) else ""
    return _SUMMARY + told + more if lines else ""


def _fitting(ranked: Iterable[_Thing], longest: int, room: int) -> dict[_Thing, str]:
    lines: dict[_Thing, str] = {}
    for thing in ranked:
        line = thing.line(longest)
        room -= tokens(line)
        if room < 0:
            break
        lines[thing] = line
    return lines


def _terms(text: str) -> set[str]:
    """What a text speaks of: words of three letters and more; in scripts without blanks, pairs of signs."""
    return {match[1] or match[0] for match in _TERM.finditer(text.casefold()[:_LONGEST_SEARCHED])}


def _cut(text: str, kept: int) -> str:
    if kept >= len(text):
        return text
    head = text[: kept - kept // 2]
    tail = text[len(text) - kept // 2 :]
    return f"{head} [… {len(text) - kept:,} characters are left out here …] {tail}".strip()
