"""``/v1/images``: pictures drawn from words, and pictures changed."""

import asyncio
import base64
import io
import re
from collections.abc import Mapping
from typing import Annotated, Literal

from fastapi import Request
from pydantic import Field

from controller.api.address import address
from controller.api.body import backend
from controller.api.media import attended, call, keep, lent, read
from controller.api.openai import models
from controller.api.openai.forms import File, form, only
from controller.api.openai.masks import mask_of
from controller.api.openai.parts import Words
from controller.api.openai.schema import PLANNER, Body, Made, Name, Told, made, now
from controller.api.openai.together import together
from controller.errors import RequestError
from controller.outcome import Artifact, Outcome

_SIZE = re.compile(r"([1-9]\d{1,4})x([1-9]\d{1,4})")
_MOST = 10
_LARGEST_SEED = 2**31 - 1
_GIVES_BYTES = "gpt-image"  # models of OpenAI's whose pictures always come as bytes

Picture = Literal["png", "jpeg", "webp"]


class ImagesBody(Body):
    """What is to be drawn; the fields behind ``stream`` are this server's own."""

    model: Name = PLANNER
    prompt: Annotated[Words, Field(min_length=1)]
    n: Annotated[int, Field(ge=1, le=_MOST)] | None = 1
    size: str | None = None
    response_format: Literal["url", "b64_json"] | None = None
    output_format: Picture | None = None
    output_compression: Annotated[int, Field(ge=0, le=100)] | None = None
    background: str | None = None
    stream: bool | None = False
    seed: Annotated[int, Field(ge=0, le=_LARGEST_SEED)] | None = None
    steps: Annotated[int, Field(ge=1, le=1000)] | None = None
    guidance: Annotated[float, Field(ge=0, le=100)] | None = None
    negative_prompt: Words | None = None


class EditBody(ImagesBody):
    """How a picture is to be changed; ``strength`` says how much, from 0 to 1."""

    strength: Annotated[float, Field(gt=0, le=1)] | None = None


class Image(Told):
    """A picture: its address, or base64 of its file; and the seed it was drawn with where one is known."""

    url: str | None = None
    b64_json: str | None = None
    revised_prompt: None = None
    seed: int | None = None


class Images(Told):
    """The pictures, and how they came about."""

    created: int = Field(default_factory=now)
    data: list[Image]
    output_format: Picture = "png"
    model: str
    artifacts: tuple[Made, ...] = ()


async def generate(request: Request, body: ImagesBody) -> Images:
    """Draw pictures from a description."""
    check(body)
    task, model = models.serving(backend(request), body.model, "text-to-image")
    args = {"text": body.prompt, **knobs(body), **_size(body.size)}
    return await attended(request, _drawn(request, body, task, args, model))


async def edit(request: Request) -> Images:
    """Change a picture by a description; with a mask, only where it is transparent."""
    body, files = await form(request, EditBody)
    check(body)
    return await attended(request, _changed(request, body, files))


async def _changed(request: Request, body: EditBody, files: dict[str, list[File]]) -> Images:
    here = backend(request)
    picture = only(files, "image")
    masked = "mask" in files
    task, model = models.serving(here, body.model, "inpainting" if masked else "image-to-image")
    args = {"text": body.prompt, **knobs(body)}
    if body.strength is not None:
        args["strength"] = str(body.strength)
    async with lent(here) as kept:
        args["image"] = await kept.keep(picture.data, picture.name)
        if masked:
            mask = await asyncio.to_thread(mask_of, only(files, "mask").data)
            args["mask"] = await kept.keep(mask, "mask.png")
        return await _drawn(request, body, task, args, model)


def check(body: ImagesBody) -> None:
    """Refuse what no picture here can be.

    Raises:
        RequestError: a field asks for it.

    """
    if body.stream:
        raise RequestError("Pictures are not streamed here; leave stream out.", "stream")
    if body.background == "transparent":
        raise RequestError(
            "Pictures have no transparent background here; leave background out.", "background"
        )


def knobs(body: ImagesBody) -> dict[str, str]:
    """What tunes a picture, in the registry's words."""
    found = {"steps": body.steps, "guidance": body.guidance, "negative_prompt": body.negative_prompt}
    return {name: str(value) for name, value in found.items() if value is not None}


def _size(size: str | None) -> dict[str, str]:
    """Width and height in pixels; the expert's own where nothing is said.

    Raises:
        RequestError: it is none.

    """
    if size in (None, "", "auto"):
        return {}
    match = _SIZE.fullmatch(size or "")
    if match is None:
        raise RequestError(f"{(size or '')[:40]!r} is no size; write width and height as 512x512.", "size")
    return {"width": match[1], "height": match[2]}


async def _drawn(
    request: Request, body: ImagesBody, task: str, args: Mapping[str, str], model: str | None
) -> Images:
    """As many pictures as were asked for, each with a seed of its own, drawn at once."""
    here = backend(request)
    seeds = [{} if body.seed is None else {"seed": str(body.seed + n)} for n in range(body.n or 1)]
    outcomes = await together([call(here, task, {**args, **seed}, model=model) for seed in seeds])
    pictures = [await _image(request, body, outcome) for outcome in outcomes]
    return Images(
        data=pictures,
        output_format=body.output_format or "png",
        model=outcomes[0].choice.model if outcomes[0].choice else body.model,
        artifacts=made(outcomes, address(request)),
    )


async def _image(request: Request, body: ImagesBody, outcome: Outcome) -> Image:
    artifact: Artifact = outcome.artifacts[0]
    seed = outcome.data.get("seed") if isinstance(outcome.data, dict) else None
    plain = body.output_format in (None, "png")
    if plain and not _as_bytes(body):
        return Image(url=address(request).of(artifact.path), seed=seed)
    data, _ = await read(backend(request), artifact.path)
    if not plain:
        data = await asyncio.to_thread(_converted, data, body.output_format, body.output_compression)
    if _as_bytes(body):
        return Image(b64_json=base64.b64encode(data).decode(), seed=seed)
    kept = await keep(backend(request), data)
    return Image(url=address(request).of(kept.path), seed=seed)


def _as_bytes(body: ImagesBody) -> bool:
    return body.response_format == "b64_json" or (
        body.response_format is None and body.model.startswith(_GIVES_BYTES)
    )


def _converted(data: bytes, form: str | None, quality: int | None) -> bytes:
    from PIL import Image as Pillow

    buffer = io.BytesIO()
    with Pillow.open(io.BytesIO(data), formats=["PNG"]) as picture:
        more = {} if quality is None else {"quality": max(1, quality)}
        picture.convert("RGB").save(buffer, (form or "png").upper(), **more)
    return buffer.getvalue()
