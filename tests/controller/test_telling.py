"""The sentences of the embedded responder: their small parts, in every language that ships."""

import re
from string import Formatter

import pytest

from controller.rules.prose import SENTENCES, Prose
from controller.rules.vocabulary import Vocabulary, vocabularies
from model_catalog.tasks import MEDIA, TASKS, Modality

ENGLISH, FRENCH = (
    next(vocabulary.prose for vocabulary in vocabularies() if vocabulary.language == language)
    for language in ("English", "French")
)
_FAULTY_SPACE = re.compile(r"\S [:;?!»%]|« ")
"""In French a blank that must not break a line, where one that may stands."""


def _placeholders(template: str) -> set[str]:
    return {name for _, name, _, _ in Formatter().parse(template) if name is not None}


@pytest.fixture(params=vocabularies(), ids=lambda vocabulary: vocabulary.language)
def vocabulary(request: pytest.FixtureRequest) -> Vocabulary:
    found: Vocabulary = request.param
    return found


def test_every_language_has_every_sentence(vocabulary: Vocabulary) -> None:
    told = vocabulary.prose.sentences
    assert {key: _placeholders(template) for key, template in told.items()} == SENTENCES
    assert all(told.values())


def test_every_language_tells_of_every_file_and_class(vocabulary: Vocabulary) -> None:
    prose = vocabulary.prose
    assert prose.texts.keys() == ENGLISH.texts.keys()
    assert prose.files.keys() == ENGLISH.files.keys()
    making = {row.name for row in TASKS.values() if row.outputs[0] in MEDIA and row.hugginggpt}
    assert {name for name in making if not name.endswith("-text-to-image")} <= prose.files.keys()
    classed = {
        argument.modality
        for row in TASKS.values()
        if row.name.endswith("classification")
        for argument in row.arguments
    }
    assert classed <= prose.classed.keys()
    assert {frozenset(_placeholders(template)) for template in prose.classed.values()} == {
        frozenset({"classes"})
    }


def test_every_language_names_every_task(vocabulary: Vocabulary) -> None:
    named = vocabulary.prose.tasks
    assert named.keys() in ({}.keys(), TASKS.keys())  # English takes the registry's names
    names = [vocabulary.prose.task(task) for task in TASKS]
    assert len(set(names)) == len(names)


def test_every_language_names_every_language() -> None:
    english = set(ENGLISH.languages)
    assert len(english) > 30
    assert all(vocabulary.prose.languages.keys() == english for vocabulary in vocabularies())


def test_plurals_translated_are_plurals(vocabulary: Vocabulary) -> None:
    for label in vocabulary.prose.labels.values():
        assert isinstance(label, str) or len(label) == 2


def test_french_marks_stay_on_their_line() -> None:
    told = [*FRENCH.sentences.values(), *FRENCH.texts.values(), *FRENCH.classed.values()]
    assert [template for template in told if _FAULTY_SPACE.search(template)] == []


@pytest.mark.parametrize(
    ("prose", "told"),
    [(ENGLISH, ["", "a", "a and b", "a, b and c"]), (FRENCH, ["", "a", "a et b", "a, b et c"])],
)
def test_lists_in_words(prose: Prose, told: list[str]) -> None:
    assert [prose.listed(names) for names in ([], ["a"], ["a", "b"], ["a", "b", "c"])] == told


def test_quotes_are_trimmed() -> None:
    assert ENGLISH.quote("  hi \n") == "“hi”"
    assert FRENCH.quote("  hi \n") == "«\u00a0hi\u00a0»"


def test_numbers() -> None:
    assert [ENGLISH.number(number) for number in (7, 1234, 1234567)] == ["7", "1,234", "1,234,567"]
    assert FRENCH.number(12345) == "12\u202f345"
    assert (ENGLISH.fraction(0.731), FRENCH.fraction(0.731)) == ("0.73", "0,73")


@pytest.mark.parametrize(("score", "told"), [(0.984, 98), (0.004, 0), (0.996, 99), (1, 100), (1.0, 100)])
def test_only_what_is_certain_is_told_as_certain(score: float, told: int) -> None:
    assert ENGLISH.percent(score) == f"{told} %"
    assert FRENCH.percent(score) == f"{told}\u00a0%"


@pytest.mark.parametrize(
    ("label", "one", "two"),
    [
        ("lion", "1 lion", "2 lions"),
        ("person", "1 person", "2 people"),
        ("wine glass", "1 wine glass", "2 wine glasses"),
        ("box", "1 box", "2 boxes"),
        ("bench", "1 bench", "2 benches"),
        ("teddy bear", "1 teddy bear", "2 teddy bears"),
        ("butterfly", "1 butterfly", "2 butterflies"),
        ("toy", "1 toy", "2 toys"),
        ("Sheep", "1 Sheep", "2 sheep"),
        ("LABEL_0", "1 “LABEL_0”", "2 “LABEL_0”"),
        ("a/b", "1 “a/b”", "2 “a/b”"),
    ],
)
def test_english_counts(label: str, one: str, two: str) -> None:
    assert (ENGLISH.counted(label, 1), ENGLISH.counted(label, 2)) == (one, two)


@pytest.mark.parametrize(
    ("label", "one", "two"),
    [
        ("lion", "1 lion", "2 lions"),
        ("person", "1 personne", "2 personnes"),
        ("horse", "1 cheval", "2 chevaux"),
        ("animal", "1 animal", "2 animaux"),
        ("cake", "1 gâteau", "2 gâteaux"),
        ("mouse", "1 souris", "2 souris"),
        ("traffic light", "1 feu tricolore", "2 feux tricolores"),
        ("zamboni", "1 «\u00a0zamboni\u00a0»", "2 «\u00a0zamboni\u00a0»"),
    ],
)
def test_french_counts_what_experts_call_in_english(label: str, one: str, two: str) -> None:
    assert (FRENCH.counted(label, 1), FRENCH.counted(label, 2)) == (one, two)


def test_labels_of_the_request_are_in_its_language() -> None:
    assert FRENCH.counted("oiseau", 2, own=True) == "2 oiseaux"
    assert FRENCH.counted("oiseau", 2) == "2 «\u00a0oiseau\u00a0»"


def test_labels_are_told_in_the_language() -> None:
    assert FRENCH.label("sky") == "ciel"
    assert FRENCH.label("Positive") == "positif"
    assert FRENCH.label("zamboni") == "zamboni"
    assert ENGLISH.label("a/b") == "“a/b”"


def test_a_language_without_plural_rules_leaves_words_alone() -> None:
    bare = Prose.parse(
        {
            "sentences": dict.fromkeys(SENTENCES, "x"),
            "texts": {},
            "files": {},
            "classed": {},
            "tasks": {},
            "labels": {},
            "plurals": {"words": {}, "rules": []},
            "numbers": {"decimal": ".", "thousands": " "},
        },
        {},
    )
    assert bare.counted("lion", 1000) == "1 000 lion"
    assert bare.task("text-to-speech") == "text to speech"
    assert bare.classed.get(Modality.TEXT) is None
