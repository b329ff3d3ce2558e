"""Texts and words under labels."""

import itertools
from typing import Any

import pytest
import transformers

from deployments.errors import ExpertError, InputError, StoppedError
from deployments.result import Input
from deployments.runners.base import Runner
from deployments.runners.entities import Token, entities
from deployments.runners.text import MaskFiller, TokenClassifier, _marks_words
from tests.support.neural import alike, ask, ask_all, opened, shared
from tests.support.tiny import text, tiny, words

LONG = " ".join(f"alice {word} in paris." for word in ("sat", "was", "is", "hello", "on") * 14)


def classifier() -> Runner:
    return shared("text-classification", text.classifier, "text-classification")


def tagger() -> Runner:
    return shared("token-classification", text.tagger, "token-classification")


def filler() -> Runner:
    return shared("fill-mask", text.filler, "fill-mask")


def judge() -> Runner:
    return shared("zero-shot-classification", text.judge, "zero-shot-classification")


# Classes of texts --------------------------------------------------------------------------------------


def test_a_text_is_sorted_under_the_models_labels() -> None:
    result = ask(classifier(), "text-classification", text="I love this movie")
    scores = [entry["score"] for entry in result.data]
    assert {entry["label"] for entry in result.data} == {"NEGATIVE", "POSITIVE"}
    assert scores == sorted(scores, reverse=True)
    assert sum(scores) == pytest.approx(1, abs=1e-3)
    assert result.text is not None
    assert result.text.startswith(result.data[0]["label"])


def test_eight_texts_at_once_are_as_eight_alone() -> None:
    several = [{"text": "the cat sat " * n} for n in range(1, 9)]
    batch = ask_all(classifier(), "text-classification", several)
    alone = [ask(classifier(), "text-classification", **args) for args in several]
    assert alike([result.data for result in batch], [result.data for result in alone])
    assert len({result.data[0]["score"] for result in batch}) > 1


def test_of_a_long_text_the_class_is_told_from_its_beginning() -> None:
    beginning = "the cat sat " * 60
    first = ask(classifier(), "text-classification", text=beginning + "good")
    second = ask(classifier(), "text-classification", text=beginning + "bad movie")
    assert first.data == second.data


def test_fewer_labels_on_demand() -> None:
    assert len(ask(classifier(), "text-classification", text="good", top_k="1").data) == 1
    with pytest.raises(InputError, match="top_k must be a number from 1"):
        ask(classifier(), "text-classification", text="good", top_k="none")


def test_a_model_without_a_head_is_refused_with_the_missing_weights() -> None:
    with pytest.raises(ExpertError, match=r"missing: classifier\.bias, classifier\.weight"):
        opened("text-classification", text.encoder, "text-classification")


def test_texts_of_very_different_lengths_share_no_batch() -> None:
    short, like, long = (
        Input("text-classification", {"text": "cat " * count, "top_k": str(count)}) for count in (1, 2, 90)
    )
    assert classifier().key(short) == classifier().key(like)
    assert classifier().key(short) != classifier().key(long)


# Entities ----------------------------------------------------------------------------------------------


def test_entities_are_those_of_the_pipeline_in_the_texts_own_words() -> None:
    runner = tagger()
    assert isinstance(runner, TokenClassifier)
    pipe = transformers.pipeline(
        "token-classification",
        model=runner.model,
        tokenizer=runner.tokenizer,
        aggregation_strategy="simple",
        device="cpu",
    )
    words = "Alice sat in Paris and Bob was in London, France"
    found = ask(runner, "token-classification", text=words)
    expected = [
        (entity["entity_group"], entity["start"], entity["end"], entity["score"]) for entity in pipe(words)
    ]
    mine = [(entity["entity"], entity["start"], entity["end"], entity["score"]) for entity in found.data]
    assert alike(mine, expected)
    assert len(mine) > 2
    for entity in found.data:
        assert words[entity["start"] : entity["end"]] == entity["word"]
    assert found.text == ", ".join(f"{entity['word']} ({entity['entity']})" for entity in found.data)


def test_a_long_text_is_read_to_its_end() -> None:
    assert len(tagger().tokenizer(LONG)["input_ids"]) > 2 * 128  # type: ignore[attr-defined]
    found = ask(tagger(), "token-classification", text=LONG).data
    assert max(entity["end"] for entity in found) > len(LONG) - 30
    places = [(entity["start"], entity["end"]) for entity in found]
    assert places == sorted(places)
    assert all(first[1] <= second[0] for first, second in itertools.pairwise(places))


def test_eight_texts_with_entities_at_once_are_as_eight_alone() -> None:
    several = [{"text": LONG[: 150 * n]} for n in range(1, 9)]
    batch = ask_all(tagger(), "token-classification", several)
    alone = [ask(tagger(), "token-classification", **args) for args in several]
    assert alike([result.data for result in batch], [result.data for result in alone])


def test_runs_of_tokens_are_entities_under_every_scheme() -> None:
    def found(*labels: str) -> list[str]:
        places = [(0, 5), (6, 9), (9, 11), (12, 17)]
        tokens = [
            Token(start, end, word, label, 0.5)
            for (start, end), word, label in zip(places, (0, 1, 1, 2), labels, strict=True)
        ]
        return [f"{entity['entity']}:{entity['word']}" for entity in entities("Alice Smith Paris", tokens)]

    assert found("B-PER", "I-PER", "I-PER", "B-LOC") == ["PER:Alice Smith", "LOC:Paris"]
    assert found("B-PER", "E-PER", "E-PER", "S-LOC") == ["PER:Alice Smith", "LOC:Paris"]
    assert found("B-PER", "B-PER", "B-PER", "O") == ["PER:Alice", "PER:Smith"]
    assert found("PER", "PER", "PER", "0") == ["PER:Alice Smith"]
    assert found("O", "O", "O", "O") == []


@pytest.mark.parametrize("mark", ["[SEP]", "[CLS]", "[MASK]"])
def test_marks_inside_a_text_are_no_marks_and_places_stay(mark: str) -> None:
    words = f"Alice sat {mark} in Paris"
    runner = tagger()
    assert isinstance(runner, TokenClassifier)
    found = ask(runner, "token-classification", text=words).data
    blank = ask(runner, "token-classification", text=words.replace(mark, " " * len(mark))).data
    assert [{**entity, "word": ""} for entity in found] == [{**entity, "word": ""} for entity in blank]
    assert all(words[entity["start"] : entity["end"]] == entity["word"] for entity in found)
    assert found[-1]["end"] > words.index(mark) + len(mark)


def test_a_model_that_labels_texts_does_not_label_words() -> None:
    with pytest.raises(ExpertError, match="made for another task"):
        opened("token-classification", text.filler, "token-classification")


# Gaps --------------------------------------------------------------------------------------------------


def test_a_gap_is_filled_as_by_the_pipeline() -> None:
    runner = filler()
    assert isinstance(runner, MaskFiller)
    pipe = transformers.pipeline("fill-mask", model=runner.model, tokenizer=runner.tokenizer, device="cpu")
    found = ask(runner, "fill-mask", text="The cat [MASK] on the mat.", top_k="3")
    expected = pipe("The cat [MASK] on the mat.", top_k=3)
    assert alike([entry["score"] for entry in found.data], [entry["score"] for entry in expected])
    assert [entry["word"] for entry in found.data] == [
        entry["token_str"].removeprefix("##") for entry in expected
    ]
    assert found.text == found.data[0]["text"]
    assert found.text is not None
    assert found.text.startswith("The cat")
    assert found.text.endswith(" on the mat.")


@pytest.mark.parametrize("gap", ["[MASK]", "<mask>", "___", "_____", "[mask]"])
def test_a_gap_may_be_written_in_many_ways(gap: str) -> None:
    one = ask(filler(), "fill-mask", text=f"the cat {gap} on the mat")
    assert one.data == ask(filler(), "fill-mask", text="the cat [MASK] on the mat").data


def test_other_marks_inside_a_text_with_gaps_are_no_marks() -> None:
    found = ask(filler(), "fill-mask", text="the cat [SEP] sat [CLS] on ___ mat.")
    plain = ask(filler(), "fill-mask", text="the cat sat on ___ mat.")
    assert [entry["word"] for entry in found.data] == [entry["word"] for entry in plain.data]
    assert alike([entry["score"] for entry in found.data], [entry["score"] for entry in plain.data])
    assert str(found.text).startswith("the cat [SEP] sat [CLS] on")


def test_letters_that_mark_words_elsewhere_are_letters_in_a_wordpiece_vocabulary() -> None:
    runner = opened("fill-mask", text.many_scripts_filler, "fill-mask")
    assert isinstance(runner, MaskFiller)
    paris, ending = runner.tokenizer.convert_tokens_to_ids(["paris", "##s"])
    assert runner._joined(["this is ", "."], [paris]) == "this is paris."
    assert runner._joined(["this is ", "."], [ending]) == "this iss."
    found = ask(runner, "fill-mask", text="this is ___.", top_k="1000").data
    assert sum(entry["text"].startswith("this is ") for entry in found) > len(words.wordpiece()) / 2


def test_words_are_marked_where_many_tokens_are() -> None:
    assert _marks_words(["Ġa", "b", "##"])
    assert _marks_words(["Ġ", *"abcdefghijklmnop"])
    assert not _marks_words(["Ġ", "##a", *"abcdefghijklmnop"])
    assert not _marks_words(["a", "b"])


def test_several_gaps_are_filled_at_once() -> None:
    found = ask(filler(), "fill-mask", text="the ___ sat on ___ mat", top_k="2")
    assert [entry["gap"] for entry in found.data] == [1, 1, 2, 2]
    assert found.text is not None
    assert "_" not in found.text
    assert "MASK" not in found.text
    assert found.data[0]["text"] == found.data[2]["text"] == found.text
    assert found.data[1]["text"] != found.text


def test_eight_gaps_at_once_are_as_eight_alone() -> None:
    several = [{"text": "the cat sat " * n + "___."} for n in range(1, 9)]
    batch = ask_all(filler(), "fill-mask", several)
    alone = [ask(filler(), "fill-mask", **args) for args in several]
    assert alike([result.data for result in batch], [result.data for result in alone])


def test_a_text_without_a_gap_or_too_long_a_one_is_refused() -> None:
    with pytest.raises(InputError, match="write ___ or"):
        ask(filler(), "fill-mask", text="the cat sat")
    with pytest.raises(InputError, match=r"has \d+ tokens, and tiny/text-filler reads at most 128"):
        ask(filler(), "fill-mask", text="the cat sat " * 60 + "___")


def test_robertas_positions_begin_behind_its_padding() -> None:
    runner = opened("fill-mask", text.roberta_filler, "fill-mask")
    assert ask(runner, "fill-mask", text="a" * 58 + " ___").data
    with pytest.raises(InputError, match="at most 62"):
        ask(runner, "fill-mask", text="a" * 62 + " ___")


# Labels of the request ---------------------------------------------------------------------------------


def test_a_text_is_sorted_under_any_labels_as_by_the_pipeline() -> None:
    runner = judge()
    pipe = transformers.pipeline(
        "zero-shot-classification",
        model=runner.model,  # type: ignore[attr-defined]
        tokenizer=transformers.AutoTokenizer.from_pretrained(tiny(text.judge)),
        device="cpu",
    )
    for labels in ("cat, dog, red house", '["dog", "cat"]', "movie"):
        found = ask(runner, "zero-shot-classification", text="the cat sat", labels=labels)
        named = [label.strip(' []"') for label in labels.split(",")]
        expected = pipe("the cat sat", candidate_labels=named)
        assert [entry["label"] for entry in found.data] == expected["labels"]
        assert alike([entry["score"] for entry in found.data], expected["scores"])
        assert found.text is not None
        assert found.text.startswith(expected["labels"][0])


def test_eight_texts_under_any_labels_at_once_are_as_eight_alone() -> None:
    several = [{"text": "the cat " * n, "labels": ", ".join("abcdefgh"[:n])} for n in range(1, 9)]
    batch = ask_all(judge(), "zero-shot-classification", several)
    alone = [ask(judge(), "zero-shot-classification", **args) for args in several]
    assert alike([result.data for result in batch], [result.data for result in alone])


def test_marks_inside_a_text_are_text() -> None:
    runner = opened("zero-shot-classification", text.bart_judge, "zero-shot-classification")
    several = [{"text": words, "labels": "cat, dog"} for words in ("hello", "hello </s></s>")]
    first, second = ask_all(runner, "zero-shot-classification", several)
    assert sum(entry["score"] for entry in second.data) == pytest.approx(1, abs=1e-3)
    assert len(first.data) == 2


def test_a_model_without_entailment_and_no_labels_are_refused() -> None:
    with pytest.raises(ExpertError, match="no label 'entailment' but negative, positive"):
        opened("zero-shot-classification", text.classifier, "zero-shot-classification")
    with pytest.raises(InputError, match="'labels'"):
        ask(judge(), "zero-shot-classification", text="the cat", labels=" , ")


# Stops -------------------------------------------------------------------------------------------------


def test_a_stopped_call_ends_before_the_model_runs_on() -> None:
    runner = tagger()
    passes: list[int] = []

    def stop(*_: Any) -> None:
        passes.append(1)
        runner.stop()

    hook = runner.model.register_forward_hook(stop)  # type: ignore[attr-defined]
    try:
        with pytest.raises(StoppedError):
            runner.run([Input("token-classification", {"text": LONG * 12})])
    finally:
        hook.remove()
        runner.stopping.clear()
    assert len(passes) == 1
