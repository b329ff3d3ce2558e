"""Vocabularies: what people call tasks, results and things, one data file for each language."""

import json
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from functools import cache
from importlib import resources
from itertools import count
from typing import Any, TypeVar

from controller.rules.letters import Letters
from controller.rules.phrases import PhraseBook, expand
from controller.rules.prose import Prose
from controller.rules.spelling import Spelling
from model_catalog.tasks import Modality

T = TypeVar("T")


@dataclass(frozen=True)
class Sense:
    """What a phrase asks for.

    Attributes:
        tasks: the task type by the modality of what it is done to; under None where that does not matter;
            empty where the words ask for nothing ("the text output").
        rank: its place in the file: among phrases equally long the earlier sense wins.
        want: the job asked for where the task type covers two.
        last: whether it is done to what the rest of its clause makes ("… aloud", "… in French").
        question: whether the words themselves are put to the expert.
        repeat: whether it asks for what was asked before, mostly for another file ("do the same for …").
        otherwise: whether it counts only where no other words of its clause ask for something.

    """

    tasks: Mapping[Modality | None, str]
    rank: int
    want: str | None = None
    last: bool = False
    question: bool = False
    repeat: bool = False
    otherwise: bool = False


@dataclass(frozen=True)
class Name:
    """What a phrase points at: the newest result of one of these task types, or something special.

    ``modality`` is set where it points at what the result holds under that modality alone.
    Special are ``last`` (the newest result), ``original`` (the first thing named) and ``question``.
    """

    of: tuple[str, ...]
    modality: Modality | None = None


@dataclass(frozen=True)
class Vocabulary:
    """One language.

    Attributes:
        language: its English name.
        letters: how its words are written.
        signs: words that tell a text in it from one in another language.
        groups: sets of words by their role; the planner's modules read those listed in ``ROLES``.
        senses: phrases that ask for a task.
        names: phrases that point at a result.
        nouns: the modality of things, by their names.
        languages: names of languages, in this language, with their English names.
        papers: phrases that tell a document from any other picture.
        things: what to call a file of a modality inside a question.
        examples: what to name to a person who forgot to give one.
        reply: what the planner answers to mere talk.
        missing: what it answers where every task lacks its file or text; takes ``things`` and ``examples``.
        asked: how a question is put that the words of a request ask; takes ``words``.
        prose: how answers are worded.
        asking: how it asks back: see ``ASKING``.
        offers: what it offers to do with a file or text of a modality; under ``data`` where none is at hand.
        numbers: the numbers of things or times that a person asks for in words ("two", "twice").
        spelling: puts right how a word is spelled.

    """

    language: str
    letters: Letters
    signs: frozenset[str]
    groups: Mapping[str, frozenset[str]]
    senses: PhraseBook[Sense]
    names: PhraseBook[Name]
    nouns: Mapping[str, Modality]
    languages: Mapping[str, str]
    papers: PhraseBook[None]
    things: Mapping[Modality, str]
    examples: Mapping[Modality, str]
    reply: str
    missing: str
    asked: str
    prose: Prose
    asking: Mapping[str, str]
    offers: Mapping[Modality, Sequence[str]]
    numbers: Mapping[str, int]
    spelling: Spelling

    def noun(self, words: Sequence[str]) -> Modality | None:
        """What the last thing named among the words is made of."""
        return next((self.nouns[word] for word in reversed(words) if word in self.nouns), None)


ROLES = (
    "fillers",
    "joints",
    "sequels",
    "restarts",
    "articles",
    "definites",
    "pronouns",
    "prepositions",
    "leads",
    "trails",
    "vague",
    "texts",
    "written",
    "questions",
    "bases",
    "counting",
    "aux",
    "answering",
    "fact",
    "relatives",
    "negations",
    "elaborations",
    "several",
    "sources",
    "sorting",
    "instructive",
    "wh",
    "signs",
    "inversions",
    "enclitics",
)
"""The groups that every vocabulary must have."""

OPTIONAL = (
    "after",
    "before",
    "knowing",
    "merely",
    "whether",
    "towards",
    "announcing",
    "times",
    "another",
    "subjects",
    "loose",
    "generic",
    "both",
    "kinds",
    "greetings",
)
"""The groups that a vocabulary may leave out."""

ASKING = ("doubt", "choice", "open", "or")
"""The sentences that ask back: what is not understood (takes ``words``), what to do with something at hand
(takes ``things``, ``file`` and ``options``), what to do at all (takes ``options``), and the word between
options."""


def parse(content: Mapping[str, Any]) -> Vocabulary:
    """A vocabulary from the content of its file.

    Raises:
        ValueError: a group is missing, or a phrase is no phrase.

    """
    letters = Letters(content["accented"], content["elisions"])
    groups = {name: tuple(map(letters.text, words)) for name, words in content["groups"].items()}
    missing = [role for role in ROLES if role not in groups]
    if missing:
        raise ValueError(f"The vocabulary {content['language']} lacks the groups {', '.join(missing)}.")
    groups = dict.fromkeys(OPTIONAL, ()) | groups
    sets = {name: frozenset(expand(f"@{name}", groups)) for name in groups}
    nouns = _by_word(letters, content["nouns"])
    languages = {letters.text(word): name for word, name in content["languages"].items()}

    def book(pairs: Iterable[tuple[str, T]]) -> PhraseBook[T]:
        spelled = [(letters.text(phrase), meaning) for phrase, meaning in pairs]
        return PhraseBook(spelled, groups, groups["prepositions"])

    senses = book([*_pairs(content["senses"], map(_sense, content["senses"], count())), *_taskless(content)])
    return Vocabulary(
        language=content["language"],
        letters=letters,
        signs=frozenset(senses.words).union(*sets.values(), nouns, languages),
        groups=sets,
        senses=senses,
        names=book(_pairs(content["results"], map(_name, content["results"]))),
        nouns=nouns,
        languages=languages,
        papers=book((phrase, None) for phrase in content["papers"]),
        things=_by_modality(content["things"]),
        examples=_by_modality(content["examples"]),
        reply=content["reply"],
        missing=content["missing"],
        asked=content["asked"],
        prose=Prose.parse(content["answers"], content["languages"]),
        asking=content["asking"],
        offers={Modality(name): tuple(listed) for name, listed in content["offers"].items()},
        numbers={letters.text(word): number for word, number in content.get("numbers", {}).items()},
        spelling=Spelling(content.get("spellings", {}), [*senses.words, *_listed(groups), *nouns]),
    )


def _by_word(letters: Letters, words: Mapping[str, Iterable[str]]) -> dict[str, Modality]:
    return {letters.text(word): Modality(name) for name, listed in words.items() for word in listed}


def _taskless(content: Mapping[str, Any]) -> list[tuple[str, Sense]]:
    """The phrases that ask for nothing, or for the same again."""
    idle = [(phrase, Sense({}, -1)) for phrase in content.get("idle", ())]
    return idle + [(phrase, Sense({}, -1, repeat=True)) for phrase in content.get("repeats", ())]


def _listed(groups: Mapping[str, Sequence[str]]) -> list[str]:
    return [word for words in groups.values() for word in words]


def _by_modality(words: Mapping[str, str]) -> dict[Modality, str]:
    return {Modality(name): word for name, word in words.items()}


def _sense(row: Mapping[str, Any], rank: int) -> Sense:
    by = row.get("by") or {None: row["task"]}
    return Sense(
        {Modality(key) if key else None: task for key, task in by.items()},
        rank,
        row.get("want"),
        row.get("last", False),
        row.get("question", False),
        otherwise=row.get("otherwise", False),
    )


def _name(row: Mapping[str, Any]) -> Name:
    return Name(tuple(row["of"]), Modality(row["as"]) if "as" in row else None)


def _pairs(rows: Iterable[Mapping[str, Any]], meanings: Iterable[T]) -> list[tuple[str, T]]:
    return [
        (phrase, meaning) for row, meaning in zip(rows, meanings, strict=True) for phrase in row["phrases"]
    ]


@cache
def vocabularies() -> tuple[Vocabulary, ...]:
    """Every language that ships, English first."""
    files = [entry for entry in resources.files(__package__).iterdir() if entry.name.endswith(".json")]
    parsed = [parse(json.loads(entry.read_text(encoding="utf-8"))) for entry in files]
    return tuple(
        sorted(parsed, key=lambda vocabulary: (vocabulary.language != "English", vocabulary.language))
    )
