"""Models served elsewhere: what is asked, what is believed, and what goes wrong."""

import asyncio
from collections.abc import AsyncIterator
from typing import Any

import numpy as np
import pytest

from deployments.errors import ExpertError, InputError
from deployments.result import Input
from deployments.runners.remote_dialects import put
from deployments.runners.remote_tasks import METHODS
from model_catalog import hub
from model_catalog.tasks import MEDIA, TASKS
from tests.support.elsewhere import PICTURE, SOUND, TABLE, TOKEN, ask, runner
from tests.support.inference import MODELS, Inference, Reply, inference


@pytest.fixture
async def service() -> AsyncIterator[Inference]:
    """The service, for one test."""
    async with inference() as made:
        yield made


# Tasks ---------------------------------------------------------------------------------------------------


async def test_a_text_and_the_token_are_sent_and_labels_come_back(service: Inference) -> None:
    result = await ask(service, "text-classification", text="I love it", top_k="1")
    assert result.data == [{"label": "POSITIVE", "score": 0.9}]
    assert result.text == "POSITIVE (0.90)"
    assert service.last.json == {"inputs": "I love it", "parameters": {"top_k": 1}}
    assert service.last.headers["authorization"] == f"Bearer {TOKEN}"
    assert service.last.path == "/models/acme/text-classification"


TEXTS: dict[str, tuple[dict[str, Any], str, Any]] = {
    "token-classification": (
        {"text": "I live in Berlin."},
        "Berlin (LOC)",
        [{"entity": "LOC", "word": "Berlin", "score": 0.99, "start": 10, "end": 16}],
    ),
    "fill-mask": (
        {"text": "The ___ sat."},
        "The cat sat.",
        [
            {"gap": 1, "word": "cat", "score": 0.6, "text": "The cat sat."},
            {"gap": 1, "word": "dog", "score": 0.3, "text": "The dog sat."},
        ],
    ),
    "zero-shot-classification": (
        {"text": "so", "labels": "a, b"},
        "b (0.67)",
        [{"label": "b", "score": 0.6667}, {"label": "a", "score": 0.3333}],
    ),
    "summarization": ({"text": "One. Two."}, "One", None),
    "translation": ({"text": "house"}, "HOUSE", None),
    "question-answering": (
        {"question": "Who?", "context": "Clara did."},
        "Clara",
        {"answer": "Clara", "score": 0.8, "start": 0, "end": 5},
    ),
    "text-generation": ({"text": "Once"}, "and so on", None),
    "text2text-generation": ({"text": "abc"}, "cba", None),
    "conversational": ({"text": "Hi"}, "You said: Hi", None),
    "sentence-similarity": ({"text1": "a", "text2": "a"}, "similarity 1.00", {"score": 1.0}),
    "feature-extraction": ({"text": "a"}, "a vector of 2 numbers", [2.0, 3.0]),
    "table-question-answering": (
        {"table": TABLE, "text": "Which?"},
        "house",
        {"answer": "house", "cells": ["house"], "coordinates": [[0, 0]], "aggregator": "NONE"},
    ),
    "tabular-classification": (
        {"table": TABLE},
        "row 1: big\nrow 2: small",
        [{"row": 1, "label": "big"}, {"row": 2, "label": "small"}],
    ),
    "image-classification": (
        {"image": PICTURE},
        "dark (0.80)",
        [{"label": "dark", "score": 0.8}, {"label": "light", "score": 0.2}],
    ),
    "zero-shot-image-classification": (
        {"image": PICTURE, "labels": "a, b"},
        "b (0.67)",
        [{"label": "b", "score": 0.6667}, {"label": "a", "score": 0.3333}],
    ),
    "image-to-text": ({"image": PICTURE}, "60 wide", {"caption": "60 wide"}),
    "image-text-to-text": ({"image": PICTURE, "text": "Look!"}, "You said: Look! 60 wide", None),
    "visual-question-answering": (
        {"image": PICTURE, "text": "Why?"},
        "Why?",
        [{"answer": "Why?", "score": 0.7}, {"answer": "no", "score": 0.1}],
    ),
    "document-question-answering": (
        {"image": PICTURE, "text": "Why?"},
        "Why?",
        {"answer": "Why?", "score": 0.7},
    ),
    "automatic-speech-recognition": ({"audio": SOUND}, "800 samples", {"text": "800 samples"}),
    "audio-classification": (
        {"audio": SOUND},
        "tone (0.60)",
        [{"label": "tone", "score": 0.6}, {"label": "noise", "score": 0.4}],
    ),
}


@pytest.mark.parametrize("task", TEXTS)
async def test_words_and_data(service: Inference, task: str) -> None:
    args, text, data = TEXTS[task]
    result = await ask(service, task, **args)
    assert (result.text, result.data) == (text, data)


async def test_a_text_is_compared_with_several(service: Inference) -> None:
    found = await ask(service, "sentence-similarity", text1="a", text2='["b", "a"]')
    assert found.data == {"scores": [0.0, 1.0]}
    assert found.text == "similarity 0.00: b\nsimilarity 1.00: a"
    service.reply = Reply([0.5])
    with pytest.raises(ExpertError, match="no usable answer"):
        await ask(service, "sentence-similarity", text1="a", text2="b\na")


async def test_objects_are_drawn_and_lie_inside_the_picture(service: Inference) -> None:
    result = await ask(service, "object-detection", image=PICTURE, threshold="0.7")
    assert [entry["score"] for entry in result.data] == [0.97, 0.72], "the threshold holds even if ignored"
    assert result.data[0]["box"] == {"xmin": 1, "ymin": 1, "xmax": 60, "ymax": 40}
    assert result.data[1]["box"] == {"xmin": 0, "ymin": 0, "xmax": 30, "ymax": 20}
    assert result.text == "1 dog and 1 cat"
    assert result.image is not None
    assert result.image.pixels.shape == (40, 60, 3)
    assert (result.image.pixels != 51).any()


async def test_parts_are_coloured_and_cover_the_picture(service: Inference) -> None:
    result = await ask(service, "image-segmentation", image=PICTURE)
    assert [(part["label"], part["score"], part["area"]) for part in result.data] == [
        ("sky", 0.9, 0.5),
        ("sea", 0.9, 0.5),
    ]
    assert result.data[1]["box"] == {"xmin": 30, "ymin": 0, "xmax": 60, "ymax": 40}
    assert result.image is not None
    assert (result.image.pixels[0, 0] != result.image.pixels[0, 59]).any()
    assert result.mask is not None
    assert (result.mask.pixels[:, :30] == 255).all()
    assert not result.mask.pixels[:, 30:].any()


async def test_a_picture_is_drawn_as_the_knobs_say(service: Inference) -> None:
    knobs = {
        "width": "64",
        "height": "16",
        "seed": "7",
        "steps": "3",
        "guidance": "2.5",
        "negative_prompt": "x",
    }
    result = await ask(service, "text-to-image", text="a house", **knobs)
    assert result.image is not None
    assert result.image.pixels.shape == (16, 64, 3)
    assert (result.image.pixels == 7).all()
    assert service.last.parameters == {
        "width": 64,
        "height": 16,
        "seed": 7,
        "num_inference_steps": 3,
        "guidance_scale": 2.5,
        "negative_prompt": "x",
    }
    assert service.last.headers["accept"] == "image/png"


async def test_a_picture_is_sent_as_it_is_and_changed(service: Inference) -> None:
    result = await ask(service, "image-to-image", image=PICTURE)
    assert result.image is not None
    assert (result.image.pixels == 204).all()
    assert service.last.headers["content-type"] == "image/png"
    await ask(service, "image-to-image", image=PICTURE, text="darker", strength="0.5")
    assert service.last.parameters == {"prompt": "darker", "strength": 0.5}


async def test_a_text_is_read_aloud(service: Inference) -> None:
    result = await ask(service, "text-to-speech", text="hello")
    assert result.audio is not None
    assert len(result.audio.samples) == 500
    await ask(service, "text-to-speech", text="hello", voice="clara")
    assert service.last.parameters == {"voice": "clara"}


async def test_a_recording_is_changed(service: Inference) -> None:
    result = await ask(service, "audio-to-audio", audio=SOUND)
    assert result.audio is not None
    assert np.allclose(result.audio.samples, 0.25, atol=1e-3)
    assert service.last.headers["content-type"] == "audio/wav"


async def test_writing_is_tuned(service: Inference) -> None:
    knobs = {"max_new_tokens": "9", "temperature": "0.5", "top_p": "0.9", "seed": "3"}
    await ask(service, "conversational", text="Hi", **knobs)
    sent = service.last.json
    assert (sent["max_tokens"], sent["temperature"], sent["top_p"], sent["seed"]) == (9, 0.5, 0.9, 3)
    assert sent["model"] == "acme/conversational"
    await ask(service, "text-generation", text="Hi", **knobs)
    assert service.last.parameters == {
        "max_new_tokens": 9,
        "temperature": 0.5,
        "top_p": 0.9,
        "seed": 3,
    }
    await ask(service, "summarization", text="Hi", max_new_tokens="9")
    assert service.last.parameters == {"generate_parameters": {"max_new_tokens": 9}}


async def test_both_languages_are_sent_or_none(service: Inference) -> None:
    await ask(service, "translation", text="Hi", target_language="fra_Latn")
    assert service.last.parameters == {}
    await ask(service, "translation", text="Hi", source_language="eng_Latn", target_language="fra_Latn")
    assert service.last.parameters == {"src_lang": "eng_Latn", "tgt_lang": "fra_Latn"}


async def test_a_text_that_a_service_repeats_is_cut_off(service: Inference) -> None:
    service.reply = Reply([{"generated_text": "Once upon a time"}])
    assert (await ask(service, "text-generation", text="Once ")).text == "upon a time"


FRENCH = "Bonjour, la maison est grande et le jardin est petit."


@pytest.mark.parametrize(
    ("name", "source", "target", "prefix", "options"),
    [
        ("facebook/nllb-200-distilled-600M", "English", "French", "", ("eng_Latn", "fra_Latn")),
        ("facebook/nllb-200-distilled-600M", None, "german", "", ("fra_Latn", "deu_Latn")),
        ("facebook/nllb-200-distilled-600M", "fr", "zho_Hant", "", ("fra_Latn", "zho_Hant")),
        ("facebook/m2m100_418M", "English", "French", "", ("en", "fr")),
        ("facebook/mbart-large-50-many-to-many-mmt", "English", "Romanian", "", ("en_XX", "ro_RO")),
        ("google-t5/t5-base", None, "German", "translate English to German: ", None),
        ("google-t5/t5-small", "fr", "en", "translate French to English: ", None),
        ("google/madlad400-3b-mt", None, "German", "<2de> ", None),
        ("Helsinki-NLP/opus-mt-fr-en", None, "English", "", None),
    ],
)
def test_models_are_told_languages_in_their_own_way(
    name: str, source: str | None, target: str, prefix: str, options: tuple[str, str] | None
) -> None:
    told = {"src_lang": options[0], "tgt_lang": options[1]} if options else {}
    assert put(name, FRENCH, source, target) == (prefix + FRENCH, told)


@pytest.mark.parametrize(
    ("name", "target", "told"),
    [
        ("facebook/nllb-200-distilled-600M", None, "needs a target_language"),
        ("facebook/nllb-200-distilled-600M", "Klingon", "does not know the language 'Klingon'"),
        ("google/madlad400-3b-mt", None, "needs a target_language"),
        ("google/madlad400-3b-mt", "Klingon", "does not know"),
        ("google-t5/t5-base", "Swahili", "it knows English, French, German, Romanian"),
    ],
)
def test_languages_that_a_model_does_not_know(name: str, target: str | None, told: str) -> None:
    with pytest.raises(InputError, match=told):
        put(name, FRENCH, "en", target)


async def test_a_chat_model_chats_whatever_the_task(service: Inference) -> None:
    made = runner(service, "text-generation", "conversational", "text2text-generation")
    for task in ("text-generation", "text2text-generation"):
        assert (await made.answer(Input(task, {"text": "Hi"}))).text == "You said: Hi"
    made = runner(service, "image-to-text", "image-text-to-text", "visual-question-answering")
    found = await made.answer(Input("image-to-text", {"image": PICTURE}))
    assert found.text == "You said: Describe this picture in one sentence. 60 wide"
    found = await made.answer(Input("visual-question-answering", {"image": PICTURE, "text": "Why?"}))
    assert found.data == {"answer": "You said: Why? 60 wide"}


@pytest.mark.parametrize(
    ("task", "args", "reply", "told"),
    [
        ("text-classification", {"text": "a"}, [{"label": "A", "score": 1}], "A (1.00)"),
        (
            "zero-shot-classification",
            {"text": "a", "labels": "x,y"},
            {"labels": ["x", "y"], "scores": [0.1, 0.9]},
            "y (0.90)",
        ),
        ("summarization", {"text": "a"}, {"summary_text": "s"}, "s"),
        ("image-to-text", {"image": PICTURE}, {"generated_text": "s"}, "s"),
        ("feature-extraction", {"text": "a"}, [1.0, 2.0, 3.0], "a vector of 3 numbers"),
    ],
)
async def test_other_shapes_of_answers(
    service: Inference, task: str, args: dict[str, Any], reply: Any, told: str
) -> None:
    service.reply = Reply(reply)
    assert (await ask(service, task, **args)).text == told


async def test_many_at_once_share_connections_which_close_with_the_last(service: Inference) -> None:
    made = runner(service, "text-classification")
    texts = ["I love it", "I do not", "love", "hate"]
    found = await asyncio.gather(*(made.answer(Input("text-classification", {"text": t})) for t in texts))
    assert [result.data[0]["label"] for result in found] == ["POSITIVE", "NEGATIVE", "POSITIVE", "NEGATIVE"]
    assert service.connections <= len(texts)
    assert made._connections._http is None
    assert made._connections._users == 0


# What is sent --------------------------------------------------------------------------------------------


BAITS = ("/etc/hostname", "http://127.0.0.1:1/secret", "file:///etc/hostname")


async def test_no_string_is_ever_opened(service: Inference) -> None:
    for task in sorted(METHODS.keys() & MODELS.keys()):
        made = runner(service, task)
        for argument in TASKS[task].arguments:
            if argument.modality in MEDIA and argument.required:
                for bait in BAITS:
                    with pytest.raises(InputError):
                        await made.answer(Input(task, {argument.name: bait, "text": bait, "labels": "a, b"}))
    assert service.seen == []
    for bait in BAITS:
        await ask(service, "text2text-generation", text=bait)
        assert service.last.inputs == bait


async def test_a_call_cannot_say_where(service: Inference) -> None:
    made = runner(service, "text-classification")
    args = {"text": "I love it", "endpoint": "http://127.0.0.1:1", "provider": "groq", "model": "http://x"}
    assert (await made.answer(Input("text-classification", args))).data
    assert service.last.path == "/models/acme/text-classification"


@pytest.mark.parametrize(
    ("task", "args", "told"),
    [
        ("text-classification", {"text": " "}, "needs words"),
        ("text-classification", {"text": "a", "top_k": "many"}, "top_k must be a number"),
        ("text-classification", {"text": "a", "top_k": "1.5"}, "whole number"),
        ("image-classification", {}, "needs a picture"),
        ("automatic-speech-recognition", {}, "needs a recording"),
        ("tabular-classification", {}, "needs a table"),
        ("fill-mask", {"text": "no gap"}, "one gap"),
        ("fill-mask", {"text": "[MASK] and ___"}, "one gap"),
        ("zero-shot-image-classification", {"image": PICTURE, "labels": "one"}, "two labels"),
        ("question-answering", {"question": "Who?"}, "'context'"),
        ("text-to-image", {"text": "a", "seed": "-1"}, "seed"),
    ],
)
async def test_bad_input_is_never_sent(task: str, args: dict[str, Any], told: str) -> None:
    async with inference() as service:
        with pytest.raises(InputError, match=told):
            await ask(service, task, **args)
        assert service.seen == []


async def test_a_service_without_a_token_is_sent_none(
    service: Inference, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("HF_TOKEN", TOKEN)  # the machine's own login is not the operator's setting
    made = runner(service, "text-classification", token=None)
    await made.answer(Input("text-classification", {"text": "I love it"}))
    assert "authorization" not in service.last.headers
    assert TOKEN not in str(service.last)


@pytest.mark.parametrize(
    ("url", "private"),
    [
        ("https://example.com/x", True),
        ("http://127.0.0.1:80/x", True),
        ("http://[::1]/x", True),
        ("http://localhost/x", True),
        ("http://example.com/x", False),
        ("http://10.0.0.1/x", False),
        ("http://127.0.0.1.example.com/x", False),
        ("http://localhost@example.com/x", False),
    ],
)
def test_a_token_travels_unseen_or_not_at_all(url: str, private: bool) -> None:
    assert hub.private(url) is private
