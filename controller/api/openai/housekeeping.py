"""Housekeeping of chat pages: titles, tags, follow-ups and the like, asked for beside each conversation.

They come as ordinary chats. Planned, each turn of a person would cost four plans; so they are recognised by
how Open WebUI and LibreChat word them, and answered from the conversation they quote: by the language model
where one runs as an expert, else by rules. A request to answer from documents begins alike, and is no chore.
"""

import json
import re
from collections import Counter
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

from controller.api.media import call
from controller.api.openai.documents import between
from controller.llm.paths import named
from controller.rules.mentions import modality_of
from deployments.placing import asks_llm
from model_catalog.errors import HuggingGPTError
from model_catalog.tasks import Modality

if TYPE_CHECKING:
    from controller.api.app import Backend

_LONGEST = 20_000
"""How many characters at either end of a conversation count."""

_TITLE_WORDS = 5
_TITLE_CHARACTERS = 60
_TAGS = 3
_TAG_LETTERS = 5
"""Shorter words are seldom what a conversation is about."""

_TASK = re.compile(r"\s*(?:#+ *User Request\s+)?### *Task:\s*([^\n]{1,600})", re.IGNORECASE)
_SAID = re.compile(r"^(USER|ASSISTANT|User|AI): ?", re.MULTILINE)
_CONVERSATION = re.compile(r"Conversation:|\(5 words or less, no punctuation or quotation\)")
_LIBRECHAT = re.compile(
    r"\s*(?:Please generate|Provide|Generate) a concise, 5-word-or-less title for the conversation"
    r"|\s*Analyze this conversation and provide:\s+1\. The detected language"
)
_TOOLS = re.compile(r"\s*Available Tools:.*\btool_calls\b", re.DOTALL)
_FACE = re.compile(
    r"\s*Your task is to reflect the speaker's likely facial expression through a fitting emoji"
)

_FILES = re.compile(r"!?\[[^\[\]\n]*\]\([^()\n]*\)|https?://\S+|/\S+/\S+|[*_`#>]+")
_WORD = re.compile(r"[^\W\d_][\w'-]*")
_SENTENCE = re.compile(r"[.!?\n]")

_AFTER: Mapping[Modality, tuple[str, ...]] = {
    Modality.IMAGE: ("Describe this picture.", "What does it say in this picture?", "Show me its edges."),
    Modality.AUDIO: ("What is said in this recording?", "Clean the noise from this recording."),
    Modality.VIDEO: ("What does this video show?",),
}
_ALWAYS = ("Summarize this.", "Read this aloud.")
_MOST_AFTER = 3


@dataclass(frozen=True, slots=True)
class Chore:
    """What a chat page wants.

    Attributes:
        kind: the key of the JSON it wants, ``line`` for a bare title, ``face`` for a bare emoji.
        prompt: its own words.
        said: the conversation: roles (``user``, ``assistant``) and words.

    """

    kind: str
    prompt: str
    said: tuple[tuple[str, str], ...]


_JSON: Mapping[str, re.Pattern[str]] = {
    "title": re.compile(r"\bGenerate a (?:brief|concise|short)\b.{0,80}\btitle\b"),
    "tags": re.compile(r"\bGenerate 1-3 broad tags\b"),
    "follow_ups": re.compile(r"\bSuggest 3-5 relevant follow-up questions\b"),
    "queries": re.compile(r"\bnecessity of generating search queries\b"),
    "prompt": re.compile(r"\bGenerate a detailed prompt for an? ?m? ?image generation task\b"),
    "text": re.compile(r"\bYou are an autocompletion system\b"),
}
"""Open WebUI's chores by the key of their answer, and how their first line is worded."""


def recognised(messages: Sequence[tuple[str, str]]) -> Chore | None:
    """The chore that a chat is; None where a person asks.

    Args:
        messages: roles and words.

    """
    role, prompt = messages[-1] if messages else ("", "")
    before = [text for kind, text in messages[:-1] if kind == "system"]
    if role != "user":
        return None
    if any(_TOOLS.match(text) for text in (*before, prompt)):
        return Chore("tool_calls", prompt, _said(prompt, messages))
    if _FACE.match(prompt):
        return Chore("face", prompt, ())
    if _LIBRECHAT.match(prompt):
        return Chore("line", prompt, _said(prompt, messages))
    task = _TASK.match(prompt)
    kind = next((kind for kind, pattern in _JSON.items() if task and pattern.search(task[1])), None)
    return None if kind is None else Chore(kind, prompt, _said(prompt, messages))


def _said(prompt: str, messages: Sequence[tuple[str, str]]) -> tuple[tuple[str, str], ...]:
    """The conversation that a chore quotes, else the messages before it."""
    quoted = between(prompt, "<chat_history>", "</chat_history>")
    if quoted is None and (begin := _CONVERSATION.search(prompt)) is not None:
        quoted = prompt[begin.end() :].lstrip()
    if quoted is None:
        return tuple((role, text[:_LONGEST]) for role, text in messages[:-1] if role in ("user", "assistant"))
    text = quoted[:_LONGEST] + quoted[_LONGEST:][-_LONGEST:]
    pieces = _SAID.split(text)
    roles = {"USER": "user", "User": "user", "ASSISTANT": "assistant", "AI": "assistant"}
    found = [(roles[pieces[n]], pieces[n + 1].strip()) for n in range(1, len(pieces) - 1, 2)]
    return tuple(found) or (("user", text),)


async def done(backend: "Backend", chore: Chore) -> str:
    """The answer to a chore: one line, or JSON with its key."""
    if chore.kind in _ASKED and (written := await _written(backend, chore)) is not None:
        return written
    value = _RULES[chore.kind](chore.said)
    return str(value) if chore.kind in _BARE else json.dumps({chore.kind: value}, ensure_ascii=False)


_BARE = frozenset({"line", "face"})
"""Chores whose answer is no JSON."""


_ASKED = frozenset({"title", "tags", "follow_ups", "prompt", "line"})
"""Chores that a language model does better than rules."""


async def _written(backend: "Backend", chore: Chore) -> str | None:
    """What the language model answers, where one runs and answers in form."""
    selector = backend.controller.selector
    cards = (card for card in selector.catalog if asks_llm(card) and card.id in selector.fleet.running)
    card = next((card for card in cards if "text-generation" in card.tasks), None)
    if card is None:
        return None
    try:
        outcome = await call(backend, "text-generation", {"text": chore.prompt[-_LONGEST:]}, model=card.id)
    except HuggingGPTError:
        return None  # a page can do without its title's wit
    text = (outcome.text or "").strip()
    if chore.kind == "line":
        return text.strip("\"'").partition("\n")[0][:_TITLE_CHARACTERS] or None
    try:
        value = json.loads(text[text.index("{") : text.rindex("}") + 1])
    except ValueError:
        return None
    return json.dumps(value, ensure_ascii=False) if isinstance(value, dict) and chore.kind in value else None


# By rules ------------------------------------------------------------------------------------------------

_Said = Sequence[tuple[str, str]]


def _title(said: _Said) -> str:
    """The first words of the conversation."""
    first = next((text for role, text in said if role == "user" and text.strip()), "")
    plain = " ".join(_FILES.sub(" ", first).split())
    words = next((part.split() for part in _SENTENCE.split(plain) if part.split()), [])
    title = " ".join(words[:_TITLE_WORDS])[:_TITLE_CHARACTERS].strip(" ,;:-\"'")
    return title[:1].upper() + title[1:] or "New Chat"


def _tags(said: _Said) -> list[str]:
    """The words that a person says most."""
    counted: Counter[str] = Counter()
    for role, text in said:
        if role == "user":
            counted.update(
                word.lower() for word in _WORD.findall(_FILES.sub(" ", text)) if len(word) >= _TAG_LETTERS
            )
    return [word.capitalize() for word, _ in counted.most_common(_TAGS)] or ["General"]


def _follow_ups(said: _Said) -> list[str]:
    """What can be asked of the last file, or of the last words."""
    for _, text in reversed(said):
        kinds = [kind for name in named(text) if (kind := modality_of(name)) in _AFTER]
        if kinds and kinds[-1] is not None:
            return [*_AFTER[kinds[-1]], *_ALWAYS][:_MOST_AFTER]
    return list(_ALWAYS) if said else []


def _prompt(said: _Said) -> str:
    """What was asked last."""
    return next((text for role, text in reversed(said) if role == "user"), "")


_RULES: Mapping[str, Callable[[_Said], Any]] = {
    "title": _title,
    "tags": _tags,
    "follow_ups": _follow_ups,
    "queries": lambda said: [],
    "prompt": _prompt,
    "text": lambda said: "",
    "tool_calls": lambda said: [],
    "line": _title,
    "face": lambda said: "🙂",
}
