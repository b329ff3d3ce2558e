"""Content parts: the words and files of a message, as chat completions and responses write them."""

from typing import Annotated, Literal

from fastapi import Request
from pydantic import Field

from controller.api.body import backend, recent
from controller.api.media import decoded
from controller.api.openai.schema import Body
from controller.errors import AttachmentError, RequestError
from controller.failure import failure, root
from controller.request import MAX_CHARACTERS, Attachment
from deployments.errors import NotFoundError

MOST_FILES = 100
"""The most files of one request."""

FILE_ID = "file-"
"""How the ids of stored files begin."""

Words = Annotated[str, Field(max_length=MAX_CHARACTERS)]


class Address(Body):
    """Where a file is: a ``data:`` URL, or one of this server; or the id that its upload gave."""

    url: str


class Sound(Body):
    """A recording, in base64, and its format."""

    data: str
    format: str = "wav"


class Attached(Body):
    """A file, by the id that its upload gave or as a ``data:`` URL."""

    file_id: str | None = None
    file_data: str | None = None
    filename: str | None = None


class Part(Body):
    """One piece of a message; which fields count, its type says."""

    type: Literal[
        "text", "input_text", "output_text", "summary_text", "reasoning_text", "refusal",
        "image_url", "input_image", "audio_url", "input_audio", "video_url", "file", "input_file",
    ]  # fmt: skip
    text: Words | None = None
    refusal: Words | None = None
    image_url: Address | str | None = None
    audio_url: Address | str | None = None
    video_url: Address | str | None = None
    input_audio: Sound | None = None
    file: Attached | None = None
    file_id: str | None = None
    file_data: str | None = None
    file_url: str | None = None
    filename: str | None = None

    @property
    def words(self) -> str:
        """What it says; empty for a file."""
        return self.text or self.refusal or ""

    @property
    def source(self) -> tuple[str, str] | None:
        """Where its file is, and the file's name; None for words."""
        if self.type.endswith(("text", "refusal")):
            return None
        if self.input_audio is not None:
            return f"data:audio/{self.input_audio.format};base64,{self.input_audio.data}", ""
        held = self.file or self
        place = self.image_url or self.audio_url or self.video_url
        if isinstance(place, Address):
            place = place.url
        place = place or _declared(held.file_data or "") or held.file_id or self.file_url
        return place or "", held.filename or ""


Content = str | list[Part] | None
"""What a message holds."""


def words(content: Content) -> str:
    """The words of a message, its parts on lines of their own."""
    if isinstance(content, str):
        return content
    return "\n".join(part.words for part in content or () if part.words)


def count(content: Content) -> int:
    """How many files a message brings."""
    return sum(part.source is not None for part in content) if isinstance(content, list) else 0


async def files(request: Request, content: Content, param: str, most: int = MOST_FILES) -> list[Attachment]:
    """The files of a message; what a ``data:`` URL brings is stored.

    Args:
        request: the HTTP request.
        content: of the message.
        param: the field it stands in, for errors.
        most: how many of them, the first ones.

    Raises:
        RequestError: a part names no file, or one on another host.
        MediaError: a file is of a kind that is not taken.

    """
    found: list[Attachment] = []
    for number, part in enumerate(content if isinstance(content, list) else ()):
        source = part.source
        if source is not None and len(found) < most:
            found.append(await _file(request, *source, f"{param}.{number}"))
    return found


async def _file(request: Request, source: str, name: str, param: str) -> Attachment:
    if not source:
        raise RequestError("A part of the message is to be a file and names none.", param)
    here = backend(request)
    try:
        if source.startswith(FILE_ID):
            artifact = (await here.store.find(source.removeprefix(FILE_ID))).artifact
        elif (data := await decoded(source)) is not None:
            artifact = await recent(request).keep(here, data, name)
        else:
            artifact = await recent(request).located(here, source, request.headers.get("host", ""))
    except AttachmentError as error:
        raise RequestError(error.message, param) from None
    except Exception as error:
        if isinstance(root(error), NotFoundError):
            raise RequestError(failure(error).message, param) from None
        raise
    return Attachment(path=artifact.path, modality=artifact.modality)


def _declared(data: str) -> str:
    """A file's data as a ``data:`` URL; some clients send its base64 alone, which has no colon."""
    return f"data:application/octet-stream;base64,{data}" if data and ":" not in data[:10] else data
