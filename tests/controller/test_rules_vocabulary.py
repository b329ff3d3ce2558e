"""Vocabularies: what ships is whole, and a new language is one file."""

import json
from collections.abc import Iterator
from importlib import resources
from string import Formatter
from typing import Any

import pytest

from controller.rules import vocabulary as vocabulary_module
from controller.rules.cues import find_cues
from controller.rules.drafting import draft
from controller.rules.reading import read
from controller.rules.sources import Sources
from controller.rules.vocabulary import OPTIONAL, ROLES, Vocabulary, parse, vocabularies
from model_catalog.tasks import MEDIA, TASKS, Modality

_SPECIAL = {"last", "original", "question"}


def _contents() -> Iterator[tuple[str, dict[str, Any]]]:
    for entry in resources.files(vocabulary_module.__package__).iterdir():
        if entry.name.endswith(".json"):
            yield entry.name, json.loads(entry.read_text(encoding="utf-8"))


_FILES = dict(_contents())


def _placeholders(template: str) -> set[str]:
    return {name for _, name, _, _ in Formatter().parse(template) if name is not None}


def _german() -> dict[str, Any]:
    """A second language, small but whole."""
    groups: dict[str, list[str]] = {role: [] for role in ROLES} | {
        "fillers": ["bitte"],
        "joints": ["und", ","],
        "sequels": ["danach"],
        "pronouns": ["es"],
        "articles": ["ein", "eine"],
        "written": ["lies"],
    }
    return {
        "language": "German",
        "elisions": [],
        "accented": [],
        "asked": "{words}?",
        "answers": _FILES["english.json"]["answers"],
        "asking": _FILES["english.json"]["asking"],
        "offers": _FILES["english.json"]["offers"],
        "reply": "Guten Tag!",
        "missing": "Mir fehlt {things}, etwa {examples}.",
        "nouns": {"image": ["bild"], "audio": ["aufnahme"]},
        "things": {"image": "das Bild"},
        "examples": {"image": "/bild.png"},
        "papers": ["rechnung"],
        "languages": {"englisch": "English"},
        "groups": groups,
        "senses": [
            {"task": "image-to-text", "phrases": ["beschreibe <image>"]},
            {"task": "translation", "phrases": ["übersetze ... ins englisch*"]},
            {"task": "text-to-speech", "last": True, "phrases": ["lies es vor", "^ sag <text>"]},
        ],
        "results": [{"of": ["image-to-text"], "phrases": ["beschreibung"]}],
    }


@pytest.mark.parametrize("name", _FILES)
def test_every_file_speaks_of_known_tasks_only(name: str) -> None:
    content = _FILES[name]
    for row in content["senses"]:
        by = row.get("by") or {None: row["task"]}
        assert set(by.values()) <= TASKS.keys()
        assert {key for key in by if key} <= {modality.value for modality in Modality}
        wants = {want for task in by.values() for want in TASKS[task].wants}
        assert row.get("want") in {None, *wants}
    for row in content["results"]:
        assert set(row["of"]) <= TASKS.keys() | _SPECIAL


@pytest.mark.parametrize("name", _FILES)
def test_every_file_names_what_answers_need(name: str) -> None:
    shipped = parse(_FILES[name])
    assert {*MEDIA, Modality.TEXT} <= set(shipped.things) & set(shipped.examples)
    told = shipped.missing.format(things="THINGS", examples="EXAMPLES")
    assert "THINGS" in told
    assert "EXAMPLES" in told
    assert shipped.reply


_TASKS = [row.name for row in TASKS.values() if row.hugginggpt and "-text-to-image" not in row.name]


@pytest.mark.parametrize("name", _FILES)
@pytest.mark.parametrize("task", _TASKS)
def test_every_file_has_words_for_every_task_of_hugginggpt(task: str, name: str) -> None:
    rows = _FILES[name]["senses"]
    asked = {task for row in rows for task in (row.get("by") or {0: row["task"]}).values()}
    assert task in asked | {"document-question-answering"}


@pytest.mark.parametrize("name", _FILES)
def test_every_file_is_as_full_as_the_english_one(name: str) -> None:
    english, content = _FILES["english.json"], _FILES[name]
    assert content.keys() == english.keys()
    for part in ("asking", "offers", "things", "examples", "nouns", "answers"):
        assert content[part].keys() == english[part].keys()
    for key, template in english["asking"].items():
        assert _placeholders(content["asking"][key]) == _placeholders(template)
    for key in ("reply", "missing", "asked"):
        assert _placeholders(content[key]) == _placeholders(english[key])
    assert {*ROLES, *OPTIONAL} <= content["groups"].keys()
    assert set(english["languages"].values()) == set(content["languages"].values())
    assert {tuple(row["of"]) for row in content["results"]} == {
        tuple(row["of"]) for row in english["results"]
    }
    assert all(content["nouns"].values())
    assert all(content["offers"].values())


@pytest.mark.parametrize("name", _FILES)
def test_every_file_knows_the_languages_that_its_phrases_name(name: str) -> None:
    content = _FILES[name]
    letters = parse(content).letters
    known = {letters.text(word) for word in content["languages"]}
    assert {letters.text(word) for word in content["groups"]["language"]} == known


@pytest.mark.parametrize("name", _FILES)
def test_no_phrase_is_written_twice_with_one_meaning(name: str) -> None:
    for row in _FILES[name]["senses"] + _FILES[name]["results"]:
        assert len(set(row["phrases"])) == len(row["phrases"])


def test_english_comes_first() -> None:
    assert vocabularies()[0].language == "English"


def test_a_missing_group_is_refused() -> None:
    content = _german()
    del content["groups"]["joints"]
    with pytest.raises(ValueError, match="German lacks the groups joints"):
        parse(content)


def test_a_new_language_is_one_file() -> None:
    both: list[Vocabulary] = [*vocabularies(), parse(_german())]
    reading = read("Bitte beschreibe hund.png und übersetze es ins Englische, danach lies es vor", both)
    assert reading.vocabulary.language == "German"
    assert [len(find_cues(sentence)) for sentence in reading.sentences] == [2, 1]
    steps = [(task["task"], task["args"]) for task in draft(reading, Sources(reading))]
    assert [task for task, _ in steps] == ["image-to-text", "translation", "text-to-speech"]
    assert steps[2][1] == {"text": "<GENERATED>-1"}


def test_nouns_tell_what_is_last_spoken_of() -> None:
    english = vocabularies()[0]
    assert english.noun(["the", "picture", "and", "the", "recording", "of"]) is Modality.AUDIO
    assert english.noun(["nothing"]) is None
