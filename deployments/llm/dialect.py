"""What an endpoint takes of a request: learned from what it refuses."""

import re
from collections.abc import Mapping
from dataclasses import dataclass, field, replace
from typing import Any

FORMATS = ("a strict JSON schema", "any JSON object", "plain text")
"""How an answer's form is asked for, the strictest first."""

_OPTIONAL = ("stream_options", "temperature", "reasoning_effort", "top_p", "seed")
_FORM = re.compile(
    r"response_?format|json_?schema|json_?object|guided|grammar|structured output", re.IGNORECASE
)
_TOO_LONG = re.compile(r"context[ _](?:length|window|size)|too many tokens|prompt is too long", re.IGNORECASE)


@dataclass(frozen=True)
class Form:
    """The structured output asked for: a JSON schema in OpenAI's strict dialect, under a name."""

    name: str
    schema: Mapping[str, Any]


@dataclass(frozen=True, slots=True)
class Refusal:
    """What an endpoint said when it refused a request (400 or 422)."""

    words: str
    param: str = ""
    code: str = ""

    @property
    def too_long(self) -> bool:
        """Whether the messages are longer than the model reads."""
        return self.code == "context_length_exceeded" or bool(_TOO_LONG.search(self.words))


@dataclass(frozen=True, slots=True)
class Dialect:
    """How much is asked of an endpoint.

    Attributes:
        step: which of ``FORMATS`` is asked for.
        dropped: optional parameters that it refuses.

    """

    step: int = 0
    dropped: frozenset[str] = field(default_factory=frozenset)

    def extras(self, form: Form | None, options: Mapping[str, Any]) -> dict[str, Any]:
        """The parameters of a request beside its model and messages; plans are asked for at temperature 0."""
        asked: dict[str, Any] = {"stream_options": {"include_usage": True}}
        if form is not None:
            asked["temperature"] = 0
        asked |= options
        kept = {name: value for name, value in asked.items() if name not in self.dropped}
        if form is not None and self.step == 0:
            schema = {"name": form.name, "schema": dict(form.schema), "strict": True}
            kept["response_format"] = {"type": "json_schema", "json_schema": schema}
        elif form is not None and self.step == 1:
            kept["response_format"] = {"type": "json_object"}
        return kept

    def less(self, refusal: Refusal, sent: Mapping[str, Any]) -> "Dialect | None":
        """What to ask for instead of ``sent``; None where asking for less would not help."""
        if refusal.too_long:
            return None
        named = _named(refusal, sent)
        if named is not None:
            return replace(self, dropped=self.dropped | {named})
        about_form = bool(_FORM.search(f"{refusal.param} {refusal.words}"))
        if "response_format" in sent and (about_form or not refusal.param):
            return replace(self, step=self.step + 1)
        more = frozenset(_OPTIONAL) & sent.keys()
        if more and not refusal.param and not refusal.code:
            return replace(self, dropped=self.dropped | more)  # it does not say what it minds
        return None

    def joined(self, other: "Dialect") -> "Dialect":
        """What two calls learned, taken together."""
        return Dialect(max(self.step, other.step), self.dropped | other.dropped)


def _named(refusal: Refusal, sent: Mapping[str, Any]) -> str | None:
    """The optional parameter that a refusal is about."""
    parameter = refusal.param.partition(".")[0].partition("[")[0]
    if parameter in _OPTIONAL:
        return parameter if parameter in sent else None
    if _FORM.search(f"{refusal.param} {refusal.words}"):
        return None
    return next(
        (name for name in _OPTIONAL if name in sent and re.search(rf"\b{name}\b", refusal.words)), None
    )
