"""Tasks of pictures and films in the inference protocol: what clients send, and the answers they read."""

import asyncio
import base64
import json
from typing import Any

import numpy as np

from controller.api.inference.job import Job, shapeless
from controller.api.inference.text import check_hypothesis
from controller.errors import RequestError
from controller.outcome import Outcome
from deployments.encode import encode
from deployments.media import Image

_USUAL_HYPOTHESIS = ("This is a photo of {}.", "This is a photo of {}", "a photo of {}")


async def seen_class(job: Job) -> Any:
    """Labels of a picture or film."""
    name = job.row.arguments[0].name
    return _listed(job, await job.run({name: await job.asked.file()}))


async def zero_shot(job: Job) -> Any:
    """The labels of a request with their scores, or with the places where they were found."""
    labels = job.asked.texts(job.asked.take("candidate_labels"), "candidate_labels")
    check_hypothesis(job, *_USUAL_HYPOTHESIS)
    picture = await job.asked.file()
    outcome = await job.run({"image": picture, "labels": json.dumps(labels, ensure_ascii=False)})
    return [_thing(entry) for entry in _listed(job, outcome)]


async def objects(job: Job) -> Any:
    """The things in a picture, with their boxes in pixels."""
    return [_thing(entry) for entry in _listed(job, await job.run({"image": await job.asked.file()}))]


def _thing(entry: dict[str, Any]) -> dict[str, Any]:
    return {name: entry[name] for name in ("score", "label", "box") if name in entry}


async def parts(job: Job) -> Any:
    """The parts of a picture, each with a mask of the picture's size, white on black, as PNG in base64."""
    found = _listed(job, await job.run({"image": await job.asked.file()}))
    masks = await asyncio.to_thread(lambda: [_mask(entry["mask"]) for entry in found])
    return [
        {"score": entry.get("score"), "label": entry.get("label", ""), "mask": mask}
        for entry, mask in zip(found, masks, strict=True)
    ]


def _mask(runs: dict[str, list[int]]) -> str:
    """A mask, of run lengths down the columns, outside first."""
    height, width = runs["size"]
    counts = runs["counts"]
    inside = np.repeat((np.arange(len(counts)) % 2).astype(np.uint8) * np.uint8(255), counts)
    pixels = np.ascontiguousarray(inside.reshape(width, height).T)
    return base64.b64encode(encode(Image(pixels)).data).decode()


async def caption(job: Job) -> Any:
    """A picture in words, or the text in it."""
    return [{"generated_text": (await job.run({"image": await job.asked.file()})).text or ""}]


async def looking(job: Job) -> Any:
    """What a model that chats says to a picture."""
    words = job.asked.words(
        job.asked.part("text") or job.asked.part("prompt") or job.asked.take("prompt"), "text"
    )
    picture = await job.asked.file(job.asked.part("image") or job.asked.part("images"), "image")
    return [
        {"input_text": words, "generated_text": (await job.run({"image": picture, "text": words})).text or ""}
    ]


async def picture_answer(job: Job) -> Any:
    """The answers to a question about a picture, the best first."""
    question = job.asked.words(job.asked.part("question"), "question")
    outcome = await job.run({"image": await _pictured(job), "text": question})
    return [{"answer": entry["answer"], "score": entry.get("score")} for entry in _answers(outcome)]


async def page_answer(job: Job) -> Any:
    """The answer to a question about a picture of a document."""
    question = job.asked.words(job.asked.part("question"), "question")
    if job.asked.take("top_k") not in (None, 1):
        raise RequestError("There is one answer, the best one; leave top_k out.", "top_k")
    outcome = await job.run({"image": await _pictured(job), "text": question})
    return [
        {
            "answer": entry["answer"],
            "score": entry.get("score"),
            "start": entry.get("start"),
            "end": entry.get("end"),
        }
        for entry in _answers(outcome)
    ]


async def _pictured(job: Job) -> str:
    """The picture of a question, which clients put into the inputs, beside them, or both."""
    within = job.asked.part("image")
    return await job.asked.file(job.asked.inputs if within is None else within, "image")


def _answers(outcome: Outcome) -> list[dict[str, Any]]:
    if isinstance(outcome.data, list):
        return outcome.data
    return [outcome.data if isinstance(outcome.data, dict) else {"answer": outcome.text or ""}]


async def depth(job: Job) -> Any:
    """How near each point is, as a picture: in base64, or as it is for a client that takes pictures."""
    outcome = await job.run({"image": await job.asked.file()})
    file = await job.file(outcome)
    if "image/" in job.asked.accept:
        return file
    return {"depth": base64.b64encode(file.data).decode(), "predicted_depth": None}


async def painting(job: Job) -> Any:
    """A picture or a film of a description."""
    return await job.file(await job.run({"text": job.asked.words()}))


async def repainting(job: Job) -> Any:
    """A picture changed, or set in motion, by a prompt where there is one."""
    prompt = job.asked.take("prompt")
    picture = await job.asked.file()
    args = (
        {"image": picture}
        if prompt is None
        else {"image": picture, "text": job.asked.words(prompt, "prompt")}
    )
    return await job.file(await job.run(args))


def _listed(job: Job, outcome: Outcome) -> list[Any]:
    if not isinstance(outcome.data, list):
        raise shapeless(job)
    return outcome.data
