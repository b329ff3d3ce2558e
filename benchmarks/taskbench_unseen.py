"""What the embedded brain would plan had nothing been written for one request of a sample alone.

For each request the phrases are left out of the vocabulary that fit it and no other request of the sample:
those that could have been written for it. The rest of the rules stays. Most such phrases are what anybody
would write down ("estimate the pose"), and a small sample asks for many things only once, which makes the
scores too low; that the rules and the words within a phrase stay makes them too high.
"""

import json
from collections import defaultdict
from collections.abc import Iterator, Mapping, Sequence
from importlib import resources
from typing import Any

from controller.plan import Plan
from controller.rules import vocabulary
from controller.rules.drafting import draft
from controller.rules.phrases import PhraseBook
from controller.rules.planner import talk
from controller.rules.reading import read
from controller.rules.sources import Sources
from controller.rules.vocabulary import Vocabulary

_LISTS = ("senses", "results")

Phrase = tuple[str, int, str]
"""Which list of the vocabulary's file it is in, in which row, and its words."""


def english() -> dict[str, Any]:
    """The content of the English vocabulary's file."""
    file = resources.files("controller.rules") / "english.json"
    content: dict[str, Any] = json.loads(file.read_text(encoding="utf-8"))
    return content


def uses(gold: Sequence[Mapping[str, Any]], content: Mapping[str, Any]) -> dict[Phrase, set[int]]:
    """For each phrase the requests that it fits, by their places."""
    known = vocabulary.parse(content)
    groups = {name: tuple(words) for name, words in known.groups.items()}
    book = PhraseBook(
        [(phrase[2], phrase) for phrase in _phrases(content)], groups, content["groups"]["prepositions"]
    )
    found: defaultdict[Phrase, set[int]] = defaultdict(set)
    for place, row in enumerate(gold):
        for sentence in read(str(row["user_request"]), [known]).sentences:
            for match in book.matches(sentence.words, sentence.openings):
                found[match.meaning].add(place)
    return {phrase: found[phrase] for phrase in _phrases(content)}


def _phrases(content: Mapping[str, Any]) -> Iterator[Phrase]:
    for name in _LISTS:
        for number, row in enumerate(content[name]):
            yield from ((name, number, phrase) for phrase in row["phrases"])


def unseen(
    gold: Sequence[Mapping[str, Any]], content: Mapping[str, Any] | None = None
) -> tuple[dict[str, list[dict[str, Any]]], dict[str, int]]:
    """The plans without each request's own phrases; how many phrases there are, fit, and fit only once."""
    content = content or english()
    found = uses(gold, content)
    plans = {}
    for place, row in enumerate(gold):
        left = frozenset(phrase for phrase, places in found.items() if places == {place})
        plans[str(row["id"])] = _plan(str(row["user_request"]), vocabulary.parse(_without(content, left)))
    counts = [len(places) for places in found.values()]
    return plans, {"phrases": len(counts), "used": sum(map(bool, counts)), "used once": counts.count(1)}


def _without(content: Mapping[str, Any], left: frozenset[Phrase]) -> dict[str, Any]:
    kept = {
        name: [
            {**row, "phrases": [words for words in row["phrases"] if (name, number, words) not in left]}
            for number, row in enumerate(content[name])
        ]
        for name in _LISTS
    }
    return {**content, **kept}


def _plan(text: str, known: Vocabulary) -> list[dict[str, Any]]:
    reading = read(text, [known])
    raws = draft(reading, Sources(reading)) or [talk(text)]
    return Plan.parse(raws, max_tasks=len(raws)).wire()
