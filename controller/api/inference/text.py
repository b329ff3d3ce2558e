"""Tasks of words and tables in the inference protocol: what clients send, and the answers they read."""

import json
import math
from typing import Any

from controller.api.inference.asked import unknown
from controller.api.inference.job import Job, shapeless
from controller.api.openai.together import together
from controller.errors import RequestError
from controller.outcome import Outcome

_MOST = 256  # texts of one request
_USUAL_HYPOTHESIS = "This example is {}."
_LANGUAGES = {"src_lang": "source_language", "tgt_lang": "target_language"}
_GROUPED = (None, "simple", "first", "average", "max")
_NOT_USED = "The following `model_kwargs` are not used by the model: {} (take them out, and ask again)"


async def text_class(job: Job) -> Any:
    """Labels of a text, in a list for the text."""
    return [_listed(job, await job.run({"text": job.asked.words()}))]


async def entities(job: Job) -> Any:
    """The names in a text, each as a group of tokens."""
    if job.asked.parameters.get("aggregation_strategy") not in _GROUPED:
        raise RequestError(
            "Tokens are told in groups here; leave aggregation_strategy out, or say 'simple'.",
            "aggregation_strategy",
        )
    job.asked.take("aggregation_strategy")
    ignored = job.asked.take("ignore_labels") or []
    ignored = job.asked.texts(ignored, "ignore_labels") if ignored else []
    found = _listed(job, await job.run({"text": job.asked.words()}))
    return [
        {
            "entity_group": entry["entity"],
            "score": entry["score"],
            "word": entry["word"],
            "start": entry["start"],
            "end": entry["end"],
        }
        for entry in found
        if entry["entity"] not in ignored
    ]


async def gap(job: Job) -> Any:
    """Words for a gap, and the text with each; for several gaps, a list for each."""
    found = _listed(job, await job.run({"text": job.asked.words()}))
    gaps = sorted({entry["gap"] for entry in found})
    lists = [[_filled(entry) for entry in found if entry["gap"] == gap] for gap in gaps]
    return lists[0] if len(lists) == 1 else lists


def _filled(entry: dict[str, Any]) -> dict[str, Any]:
    return {
        "score": entry["score"],
        "token": entry.get("token"),
        "token_str": entry["word"],
        "sequence": entry["text"],
    }


async def zero_shot(job: Job) -> Any:
    """The labels of a request with their scores; with ``multi_label`` each label by itself."""
    labels = job.asked.texts(job.asked.take("candidate_labels"), "candidate_labels")
    alone = bool(job.asked.take("multi_label"))
    check_hypothesis(job, _USUAL_HYPOTHESIS)
    text = job.asked.words()
    groups = [[label] for label in labels] if alone and len(labels) > 1 else [labels]
    if len(groups) > _MOST:
        raise RequestError(f"At most {_MOST} labels are taken at once; send fewer.", "candidate_labels")
    outcomes = await together(
        [job.run({"text": text, "labels": json.dumps(group, ensure_ascii=False)}) for group in groups]
    )
    found = [entry for outcome in outcomes for entry in _listed(job, outcome)]
    return sorted(found, key=lambda entry: -entry["score"])


def check_hypothesis(job: Job, *usual: str) -> None:
    """Refuse another sentence around the labels: each model has its own.

    Raises:
        RequestError: the request names one.

    """
    if job.asked.take("hypothesis_template") not in (None, *usual):
        raise RequestError(
            "The sentence around the labels is the model's own; leave hypothesis_template out.",
            "hypothesis_template",
        )


async def summary(job: Job) -> Any:
    """A text's summary."""
    return [{"summary_text": (await job.run({"text": job.asked.words()})).text or ""}]


async def translation(job: Job) -> Any:
    """A text's translation."""
    outcome = await job.run({"text": job.asked.words()}, _LANGUAGES)
    return [{"translation_text": outcome.text or ""}]


async def answer(job: Job) -> Any:
    """The answer to a question out of its context, with its place there."""
    question = job.asked.words(job.asked.part("question"), "question")
    context = job.asked.words(job.asked.part("context"), "context")
    _one_answer(job)
    outcome = await job.run({"question": question, "context": context})
    found = outcome.data if isinstance(outcome.data, dict) else {"answer": outcome.text or ""}
    return {
        "answer": found.get("answer", ""),
        "score": found.get("score"),
        "start": found.get("start") or 0,
        "end": found.get("end") or 0,
    }


def _one_answer(job: Job) -> None:
    if job.asked.take("top_k") not in (None, 1):
        raise RequestError("There is one answer, the best one; leave top_k out.", "top_k")


async def rewriting(job: Job) -> Any:
    """What a model writes as an instruction asks, or in answer to a person."""
    return [{"generated_text": (await job.run({"text": _said(job)})).text or ""}]


def _said(job: Job) -> str:
    """The text; of the protocol's former conversations, what the person said last."""
    return (
        job.asked.words(job.asked.part("text")) if isinstance(job.asked.inputs, dict) else job.asked.words()
    )


async def writing(job: Job) -> Any:
    """How a text goes on, without the text itself where nobody asks for it."""
    text = _said(job)
    _check_writing(job)
    whole, stops = job.asked.take("return_full_text"), job.asked.take("stop") or []
    if job.asked.take("do_sample") is False:
        job.asked.parameters["temperature"] = 0
    written = (await job.run({"text": text})).text or ""
    further = written.removeprefix(text)
    if stops:
        further = _stopped(further, job.asked.texts(stops, "stop"))
    return [{"generated_text": text + further if whole else further}]


def _check_writing(job: Job) -> None:
    """Refuse parameters in the words after which the client asks again without them, and warns.

    Raises:
        RequestError: some are unknown here.

    """
    known = {"return_full_text", "stop", "do_sample", "truncate"}
    known |= {name for knob in job.row.knobs for name in (knob.name, *knob.aliases)}
    asked = job.asked.parameters | {"stream": job.asked.extra.get("stream")}
    others = [name for name, value in asked.items() if value and name not in known]
    if others:
        raise RequestError(_NOT_USED.format(others), others[0])
    for name in [name for name in job.asked.parameters if name not in known]:
        job.asked.take(name)  # asks for nothing


def _stopped(text: str, stops: list[str]) -> str:
    """A text up to the first of some words."""
    ends = [place for stop in stops if (place := text.find(stop)) >= 0]
    return text[: min(ends)] if ends else text


async def likeness(job: Job) -> Any:
    """How alike a sentence is to each of the others."""
    source = job.asked.words(job.asked.part("source_sentence"), "source_sentence")
    others = job.asked.texts(job.asked.part("sentences"), "sentences")
    outcome = await job.run({"text1": source, "text2": json.dumps(others, ensure_ascii=False)})
    data = outcome.data if isinstance(outcome.data, dict) else {}
    scores = data["scores"] if "scores" in data else [data.get("score")]
    if not isinstance(scores, list) or len(scores) != len(others) or None in scores:
        raise shapeless(job)
    return scores


async def vectors(job: Job) -> Any:
    """A vector for each text, in a list even for one text."""
    texts = job.asked.inputs
    texts = [job.asked.words()] if isinstance(texts, str) else job.asked.texts(texts, "inputs")
    if len(texts) > _MOST:
        raise RequestError(f"At most {_MOST} texts are taken at once; send fewer.", "inputs")
    level = _beside(job)
    outcomes = await together([job.run({"text": text}) for text in texts])
    found = [_listed(job, outcome) for outcome in outcomes]
    return [_of_length_one(vector) for vector in found] if level else found


def _beside(job: Job) -> bool:
    """Read what this task's client writes beside the inputs; whether vectors are wanted with length one."""
    asked = {
        name: value for name, value in (job.asked.parameters | job.asked.extra).items() if value is not None
    }
    job.asked.parameters = {}
    level = bool(asked.pop("normalize", False))
    if asked.pop("encoding_format", "float") != "float":
        raise RequestError("Vectors are sent as numbers; leave encoding_format out.", "encoding_format")
    asked = {name: value for name, value in asked.items() if name not in ("truncate", "truncation_direction")}
    if asked:
        raise unknown(job.row, *asked)
    return level


def _of_length_one(vector: list[float]) -> list[float]:
    length = math.sqrt(sum(part * part for part in vector))
    return [part / length for part in vector] if length else vector


async def table_answer(job: Job) -> Any:
    """The answer to a question about a table, with the cells it came from."""
    asked = job.asked.part("query") or job.asked.part("question")
    question = job.asked.words(asked, "query")
    job.asked.take("sequential")
    table = await job.asked.table(job.asked.part("table"), "table")
    outcome = await job.run({"table": table, "text": question})
    found = outcome.data if isinstance(outcome.data, dict) else {}
    return {
        "answer": found.get("answer", outcome.text or ""),
        "cells": found.get("cells", []),
        "coordinates": found.get("coordinates", []),
        "aggregator": found.get("aggregator", "NONE"),
    }


async def rows(job: Job) -> Any:
    """A label for each row of a table."""
    columns = job.asked.part("table") or job.asked.part("data")
    outcome = await job.run({"table": await job.asked.table(columns, "table")})
    return [entry["label"] for entry in _listed(job, outcome)]


def _listed(job: Job, outcome: Outcome) -> list[Any]:
    """The data of an outcome that is a list.

    Raises:
        TaskError: it is none.

    """
    if not isinstance(outcome.data, list):
        raise shapeless(job)
    return outcome.data
