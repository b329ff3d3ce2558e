"""Tasks of pictures, films and sound by the methods of the client for models served elsewhere."""

import base64
import json
from typing import Any

import numpy as np

from deployments.errors import InputError
from deployments.result import Result
from deployments.runners.lists import labels_of
from deployments.runners.pictures import Seen
from deployments.runners.remote_asking import Ask, medium, ranked, said, score_of, several
from deployments.runners.remote_words import chatted
from deployments.runners.segmentation import Part, described
from deployments.runners.single import image_of
from deployments.runners.vision import told as shown
from model_catalog.tasks import Modality

_PARTS = 100  # of one picture
_FRAMES = 10_000
_CAPTION = "Describe this picture in one sentence."
_READING = "Write down the text in this picture, and nothing else."
_SIDES = ("xmin", "ymin", "xmax", "ymax")


async def picture_class(ask: Ask) -> Result:
    """Labels of a picture."""
    return ranked(await ask.client.image_classification(await ask.picture(), top_k=ask.top), ask.top)


async def picture_zero_shot(ask: Ask) -> Result:
    """The request's labels for a picture.

    Raises:
        InputError: there are fewer than two, which the client does not send.

    """
    labels = list(labels_of(ask.item))
    if len(labels) < 2:
        raise InputError(f"{ask.item.task} elsewhere needs two labels or more; name another one.")
    found = await ask.client.zero_shot_image_classification(await ask.picture(), labels)
    return ranked(found, len(labels))


async def looking(ask: Ask) -> Result:
    """A chat model's answer about a picture."""
    return Result(text=await _looked(ask, ask.text()))


async def _looked(ask: Ask, question: str) -> str:
    address = f"data:image/png;base64,{base64.b64encode(await ask.picture()).decode()}"
    return await chatted(
        ask,
        [{"type": "image_url", "image_url": {"url": address}}, {"type": "text", "text": question}],
    )


def _chats(ask: Ask) -> bool:
    """Whether the model is one that chats about pictures."""
    return "image-text-to-text" in ask.card.tasks


async def caption(ask: Ask) -> Result:
    """A picture's description, or its text."""
    reads = ask.card.yields == "ocr"
    if _chats(ask):
        text = await _looked(ask, _READING if reads else _CAPTION)
    else:
        text = said((await ask.client.image_to_text(await ask.picture()))["generated_text"])
    return Result(text=text, data={"text" if reads else "caption": text})


async def picture_answer(ask: Ask) -> Result:
    """The answers to a question about a picture, the best first."""
    if _chats(ask):
        text = await _looked(ask, ask.text())
        return Result(text=text, data={"answer": text})
    found = await ask.client.visual_question_answering(await ask.picture(), ask.text(), top_k=ask.top)
    return ranked(found, ask.top, "answer")


async def page_answer(ask: Ask) -> Result:
    """The answer to a question about a picture of a document."""
    if _chats(ask):
        return await picture_answer(ask)
    found = await ask.client.document_question_answering(await ask.picture(), ask.text())
    best = ranked(found, 1, "answer")
    return Result(text=best.text, data=best.data[0])


async def objects(ask: Ask) -> Result:
    """The objects in a picture, drawn, listed and counted."""
    threshold = ask.number("threshold", 0, 1)
    image = image_of(ask.item)
    found = several(await ask.client.object_detection(await ask.picture(), threshold=threshold))
    found = [item for item in found if score_of(item["score"]) >= (threshold or 0)]
    boxes = np.array([[float(item["box"][side]) for side in _SIDES] for item in found]).reshape(-1, 4)
    labels = [said(item["label"]) for item in found]
    return shown(Seen(image, None), labels, [score_of(item["score"]) for item in found], boxes)


async def segments(ask: Ask) -> Result:
    """A picture's parts: under colours, listed with their masks, and in words.

    Raises:
        ValueError: a part's mask does not fit the picture.

    """
    image = image_of(ask.item)
    threshold = ask.number("threshold", 0, 1)
    found = await ask.client.unopened(ask.item.task, await ask.picture(), threshold=threshold)
    found = json.loads(found) if isinstance(found, bytes) else found
    parts, told = np.zeros(image.pixels.shape[:2], np.int16), []
    for number, item in enumerate(several(found)[:_PARTS], start=1):
        mask = await _mask(item["mask"])
        if mask.shape != parts.shape:
            raise ValueError("a mask of another size")
        parts[mask] = number
        score = None if item.get("score") is None else score_of(item["score"])
        told.append(Part(number, said(item["label"]), score))
    return described(Seen(image, None), parts, told)


async def _mask(written: Any) -> Any:
    """A mask, height × width, out of base64."""
    pixels = (await medium(base64.b64decode(said(written), validate=True), Modality.IMAGE)).pixels
    return (pixels if pixels.ndim == 2 else pixels[..., :3].max(axis=2)) > 127


def _diffusion(ask: Ask) -> dict[str, Any]:
    return {
        "negative_prompt": ask.word("negative_prompt"),
        "num_inference_steps": ask.whole("steps", 1, 1000),
        "guidance_scale": ask.number("guidance", 0, 100),
        "seed": ask.seed,
    }


async def painting(ask: Ask) -> Result:
    """A picture of a description."""
    sides = {name: ask.whole(name, 8, 8192) for name in ("width", "height")}
    made = await ask.client.unopened(ask.item.task, ask.text(), **sides, **_diffusion(ask))
    return Result(image=await medium(made, Modality.IMAGE))


async def repainting(ask: Ask) -> Result:
    """A picture changed, by an instruction where there is one."""
    knobs = _diffusion(ask) | {"prompt": ask.word("text"), "strength": ask.number("strength", 0, 1)}
    made = await ask.client.unopened(ask.item.task, await ask.picture(), **knobs)
    return Result(image=await medium(made, Modality.IMAGE))


async def film(ask: Ask) -> Result:
    """A film of a description."""
    knobs = _diffusion(ask)
    unwanted = knobs.pop("negative_prompt")
    made = await ask.client.text_to_video(
        ask.text(),
        negative_prompt=[unwanted] if unwanted else None,
        num_frames=ask.whole("frames", 1, _FRAMES),
        **knobs,
    )
    return Result(video=await medium(made, Modality.VIDEO))


async def motion(ask: Ask) -> Result:
    """A picture set in motion."""
    made = await ask.client.image_to_video(
        await ask.picture(),
        prompt=ask.word("text"),
        num_frames=ask.whole("frames", 1, _FRAMES),
        **_diffusion(ask),
    )
    return Result(video=await medium(made, Modality.VIDEO))


async def speech(ask: Ask) -> Result:
    """A text read aloud; a voice is sent on as providers call it."""
    voice = ask.word("voice")
    made = await ask.client.text_to_speech(ask.text(), extra_body={"voice": voice} if voice else None)
    return Result(audio=await medium(made, Modality.AUDIO))


async def transcript(ask: Ask) -> Result:
    """What is said in a recording."""
    text = said((await ask.client.automatic_speech_recognition(await ask.recording()))["text"])
    return Result(text=text, data={"text": text})


async def sound_class(ask: Ask) -> Result:
    """Labels of a recording."""
    return ranked(await ask.client.audio_classification(await ask.recording(), top_k=ask.top), ask.top)


async def sound(ask: Ask) -> Result:
    """A recording changed; of several the first."""
    found = await ask.client.audio_to_audio(await ask.recording())
    return Result(audio=await medium(found[0].blob, Modality.AUDIO))
