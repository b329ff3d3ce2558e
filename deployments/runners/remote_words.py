"""Tasks of texts and tables by the methods of the client for models served elsewhere."""

import asyncio
import re
from typing import Any

import numpy as np

from deployments.errors import ExpertError, InputError
from deployments.media import Table
from deployments.result import Input, Result
from deployments.runners.history import chat_of
from deployments.runners.lists import labels_of
from deployments.runners.lists import several as texts_of
from deployments.runners.remote_asking import Ask, ranked, said, score_of, several
from deployments.runners.remote_dialects import put

_SHOWN = 80  # characters of a sentence beside its score

_THOUGHT = re.compile(r"\A\s*<think>.*?</think>", re.DOTALL)
_ANGLED = re.compile("roberta|bart|camembert|xlm|longformer|mpnet", re.IGNORECASE)
_GAP = re.compile(r"\[mask\]|<mask>|_{3,}", re.IGNORECASE)


async def text_class(ask: Ask) -> Result:
    """Labels of a text."""
    return ranked(await ask.client.text_classification(ask.text(), top_k=ask.top), ask.top)


async def zero_shot(ask: Ask) -> Result:
    """The request's labels for a text."""
    labels = labels_of(ask.item)
    return ranked(await ask.client.zero_shot_classification(ask.text(), labels), len(labels))


async def entities(ask: Ask) -> Result:
    """Entities in a text, with their places; each one's words are the text's own."""
    text = ask.text()
    found = await ask.client.token_classification(text, aggregation_strategy="simple")
    data = []
    for item in several(found):
        start, end = (max(0, min(int(item[side]), len(text))) for side in ("start", "end"))
        if word := text[start:end].strip():
            tag = said(item["entity_group"] or item["entity"])
            score = score_of(item["score"])
            data.append({"entity": tag, "word": word, "score": score, "start": start, "end": end})
    words = ", ".join(f"{entity['word']} ({entity['entity']})" for entity in data)
    return Result(text=words or "The text names nothing that the model looks for.", data=data)


async def gap(ask: Ask) -> Result:
    """The likeliest words for a text's gap; a service tells nothing of several."""
    pieces = _GAP.split(ask.text())
    if len(pieces) != 2:
        raise InputError("fill-mask elsewhere fills one gap: write ___ or [MASK] once.")
    mask = "<mask>" if _ANGLED.search(ask.card.id) else "[MASK]"
    found = await ask.client.fill_mask(mask.join(pieces), top_k=ask.top)
    data = []
    for item in several(found)[: ask.top]:
        word = said(item["token_str"]).removeprefix("##")
        data.append(
            {"gap": 1, "word": word, "score": score_of(item["score"]), "text": said(item["sequence"])}
        )
    return Result(text=str(data[0]["text"]), data=data)


def _writing(ask: Ask) -> dict[str, Any]:
    return {
        "temperature": ask.number("temperature", 0, 2),
        "top_p": ask.number("top_p", 0, 1),
        "seed": ask.seed,
    }


def _length(ask: Ask) -> int | None:
    return ask.whole("max_new_tokens", 1, 100_000)


async def chat(ask: Ask) -> Result:
    """A chat model's answer to a text."""
    return Result(text=await _conversed(ask, chat_of(ask.item, ask.text())))


async def chatted(ask: Ask, content: Any) -> str:
    """What a chat model answers to one message, its thoughts left out.

    Raises:
        ExpertError: it came to no answer.

    """
    return await _conversed(ask, [{"role": "user", "content": content}])


async def _conversed(ask: Ask, messages: list[Any]) -> str:
    answer = await ask.client.chat_completion(
        messages, model=ask.card.id, max_tokens=_length(ask), **_writing(ask)
    )
    text = _THOUGHT.sub("", said(answer.choices[0].message.content)).strip()
    if text.startswith("<think>"):
        raise ExpertError("The model thought until its last token; ask again with more max_new_tokens.")
    return text


async def writing(ask: Ask) -> Result:
    """A text that goes on with the given one, or that follows the instruction in it."""
    if "conversational" in ask.card.tasks:
        return await chat(ask)
    text = ask.text()
    written = await ask.client.text_generation(text, max_new_tokens=_length(ask), **_writing(ask))
    # Some services repeat the text first, and not all take the option that forbids it.
    return Result(text=said(said(written).removeprefix(text.strip())))


def _generation(ask: Ask) -> dict[str, Any] | None:
    length = _length(ask)
    return {"max_new_tokens": length} if length else None


async def summary(ask: Ask) -> Result:
    """A text's summary."""
    found = await ask.client.summarization(ask.text(), generate_parameters=_generation(ask))
    return Result(text=said(found["summary_text"]))


async def translation(ask: Ask) -> Result:
    """A text's translation."""
    languages = ask.word("source_language"), ask.word("target_language")
    text, options = await asyncio.to_thread(put, ask.card.id, ask.text(), *languages)
    found = await ask.client.translation(text, generate_parameters=_generation(ask), **options)
    return Result(text=said(found["translation_text"]))


async def answer(ask: Ask) -> Result:
    """The answer to a question, out of its context."""
    found = await ask.client.question_answering(question=ask.text("question"), context=ask.text("context"))
    best = found[0] if isinstance(found, list) else found
    data = {
        "answer": said(best["answer"]),
        "score": score_of(best["score"]),
        "start": int(best["start"]),
        "end": int(best["end"]),
    }
    return Result(text=str(data["answer"]), data=data)


async def likeness(ask: Ask) -> Result:
    """How alike a text is to another one, or to each of several.

    Raises:
        ValueError: the service gave fewer scores or more.

    """
    others = texts_of(ask.item)
    found = await ask.client.sentence_similarity(ask.text("text1"), others)
    scores = [score_of(score) for score in several(found)]
    if len(scores) != len(others):
        raise ValueError("not a score for each text")
    if len(scores) == 1:
        return Result(text=f"similarity {scores[0]:.2f}", data={"score": scores[0]})
    told = (f"similarity {score:.2f}: {other[:_SHOWN]}" for score, other in zip(scores, others, strict=True))
    return Result(text="\n".join(told), data={"scores": scores})


async def vector(ask: Ask) -> Result:
    """A text's vector: the mean over its tokens where the service gives one for each.

    Raises:
        ValueError: the service gave none.

    """
    found = np.asarray(await ask.client.feature_extraction(ask.text()), np.float64)
    if found.ndim == 0 or not found.size or not np.isfinite(found).all():
        raise ValueError("no vector")
    mean = found.reshape(-1, found.shape[-1]).mean(axis=0)
    return Result(text=f"a vector of {len(mean)} numbers", data=[round(float(part), 6) for part in mean])


def _columns(item: Input) -> dict[str, list[str]]:
    table = item.args.get("table")
    if not isinstance(table, Table) or not table.rows:
        raise InputError(f"{item.task} needs a table with rows under 'table'; attach a CSV file.")
    return {name: [row[at] for row in table.rows] for at, name in enumerate(table.columns)}


async def table_answer(ask: Ask) -> Result:
    """The answer to a question about a table, with the cells it came from."""
    found = await ask.client.table_question_answering(_columns(ask.item), ask.text())
    data = {
        "answer": said(found["answer"]),
        "cells": [str(cell) for cell in several(found["cells"] or [])],
        "coordinates": [[int(at) for at in pair] for pair in several(found["coordinates"] or [])],
        "aggregator": str(found["aggregator"] or "NONE"),
    }
    return Result(text=str(data["answer"]), data=data)


async def rows(ask: Ask) -> Result:
    """A label for each row of a table.

    Raises:
        ValueError: the service gave fewer or more.

    """
    columns = _columns(ask.item)
    found = await ask.client.tabular_classification(columns)
    labels = [str(label) for label in found] if isinstance(found, list) else []
    if len(labels) != len(next(iter(columns.values()))):
        raise ValueError("not a label for each row")
    told = "\n".join(f"row {number}: {label}" for number, label in enumerate(labels, start=1))
    return Result(text=told, data=[{"row": n, "label": label} for n, label in enumerate(labels, start=1)])
