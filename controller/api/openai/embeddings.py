"""``/v1/embeddings``: texts as vectors."""

import asyncio
import base64
from typing import Annotated, Literal

import numpy as np
from fastapi import Request
from pydantic import Field

from controller.api.body import backend
from controller.api.media import attended, call
from controller.api.openai import models
from controller.api.openai.parts import Words
from controller.api.openai.schema import PLANNER, Body, Name, Told
from controller.api.openai.together import together
from controller.errors import RequestError, TaskError
from controller.outcome import Outcome
from deployments.llm.budget import tokens

_MOST = 2_048
_AT_ONCE = 32


class EmbeddingsBody(Body):
    """Texts that are to become vectors; tokens are not taken, since each model has its own."""

    model: Name = PLANNER
    input: Words | Annotated[list[Words] | list[int] | list[list[int]], Field(min_length=1, max_length=_MOST)]
    encoding_format: Literal["float", "base64"] = "float"
    dimensions: Annotated[int, Field(ge=1)] | None = None


class Embedding(Told):
    """A text's vector: numbers, or base64 of little-endian float32; and the text's place in the request."""

    object: Literal["embedding"] = "embedding"
    index: int
    embedding: list[float] | str


class EmbeddingUsage(Told):
    """Tokens that were read, by an estimate on the high side."""

    prompt_tokens: int
    total_tokens: int
    estimated: bool = True


class Embeddings(Told):
    """The vectors in the order of the texts; ``model`` is the one that made them."""

    object: Literal["list"] = "list"
    data: list[Embedding]
    model: str
    usage: EmbeddingUsage


async def create(request: Request, body: EmbeddingsBody) -> Embeddings:
    """Turn texts into vectors."""
    texts = _texts(body)
    _, model = models.serving(backend(request), body.model, "feature-extraction")
    outcomes = await attended(request, _outcomes(request, texts, model))
    vectors = [_vector(outcome, body.dimensions) for outcome in outcomes]
    count = sum(map(tokens, texts))
    chosen = outcomes[0].choice
    return Embeddings(
        data=[
            Embedding(index=place, embedding=_encoded(vector, body.encoding_format))
            for place, vector in enumerate(vectors)
        ],
        model=chosen.model if chosen else body.model,
        usage=EmbeddingUsage(prompt_tokens=count, total_tokens=count),
    )


def _texts(body: EmbeddingsBody) -> list[str]:
    """The texts.

    Raises:
        RequestError: they are tokens, or one is empty.

    """
    given = [body.input] if isinstance(body.input, str) else body.input
    texts = [text for text in given if isinstance(text, str)]
    if len(texts) < len(given):
        raise RequestError("Send texts: tokens are not taken here, since each model has its own.", "input")
    if not all(text.strip() for text in texts):
        raise RequestError("A text is empty; send texts with words.", "input")
    return texts


async def _outcomes(request: Request, texts: list[str], model: str | None) -> list[Outcome]:
    """The outcomes of all texts, so many at once; all by one model, since vectors of two do not compare."""
    here = backend(request)
    room = asyncio.Semaphore(_AT_ONCE)

    async def one(text: str, by: str | None) -> Outcome:
        async with room:
            return await call(here, "feature-extraction", {"text": text}, model=by)

    first = await one(texts[0], model)
    by = model or (first.choice.model if first.choice else None)
    return [first, *await together([one(text, by) for text in texts[1:]])]


def _vector(outcome: Outcome, dimensions: int | None) -> list[float]:
    """The numbers of an outcome.

    Raises:
        RequestError: another length of vectors is asked for.
        TaskError: the expert gave no vector.

    """
    vector = outcome.data
    if not isinstance(vector, list) or not vector or not isinstance(vector[0], int | float):
        raise TaskError("The model gave no vector for this text; name another model.", "expert_failed", 502)
    if dimensions not in (None, len(vector)):
        raise RequestError(
            f"The vectors of this model have {len(vector)} numbers and cannot be cut; leave dimensions out.",
            "dimensions",
        )
    return [float(number) for number in vector]


def _encoded(vector: list[float], form: str) -> list[float] | str:
    if form == "float":
        return vector
    return base64.b64encode(np.asarray(vector, dtype="<f4").tobytes()).decode()
