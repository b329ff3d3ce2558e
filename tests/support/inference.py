"""An inference service on loopback: Hugging Face's protocol as its client speaks it, and failures on demand.

A model's id is ``acme/<task>``, under ``/models/``; its answers depend on what it is sent.
"""

import asyncio
import base64
import json
from collections.abc import AsyncIterator, Callable
from contextlib import asynccontextmanager, suppress
from dataclasses import dataclass, field
from typing import Any

import numpy as np

from deployments.decode import decode
from deployments.encode import encode
from deployments.media import UNKNOWN, Audio, File, Image, Video
from model_catalog.tasks import Modality


@dataclass(frozen=True, slots=True)
class Request:
    """What reached the service: the path, headers in lower case, and the body."""

    path: str
    headers: dict[str, str]
    body: bytes

    @property
    def json(self) -> Any:
        """The body as JSON; None where it is media alone."""
        return json.loads(self.body) if self.headers.get("content-type") == "application/json" else None

    @property
    def inputs(self) -> Any:
        """What the model works on."""
        return self.json["inputs"]

    @property
    def parameters(self) -> dict[str, Any]:
        """How it shall work."""
        found = self.json
        return dict(found.get("parameters", {})) if found else {}

    @property
    def media(self) -> bytes:
        """The file that was sent, alone or inside JSON."""
        if self.json is None:
            return self.body
        inputs = self.json["inputs"]
        return base64.b64decode(inputs["image"] if isinstance(inputs, dict) else inputs)

    @property
    def picture(self) -> Image:
        """The picture that was sent."""
        value = decode(File(self.media, UNKNOWN), Modality.IMAGE)
        assert isinstance(value, Image)
        return value

    @property
    def sound(self) -> Audio:
        """The recording that was sent."""
        value = decode(File(self.media, UNKNOWN), Modality.AUDIO)
        assert isinstance(value, Audio)
        return value


@dataclass(frozen=True, slots=True)
class Reply:
    """What the service says."""

    body: Any
    status: int = 200
    headers: dict[str, str] = field(default_factory=dict)

    def encoded(self) -> tuple[bytes, dict[str, str]]:
        """The body's bytes and all headers."""
        if isinstance(self.body, bytes):
            return self.body, {"content-type": "application/octet-stream", **self.headers}
        return json.dumps(self.body).encode(), {"content-type": "application/json", **self.headers}


Model = Callable[[Request], Any]


class Inference:
    """The service.

    Attributes:
        url: where it listens.
        seen: every request, in order.
        reply: what it says instead of a model's answer, or what makes that; None for the models' own.
        hangs: whether it reads requests and never answers.
        trickles: whether it answers without end.
        begun: set when a request that hangs has come.
        gone: set when a caller has hung up on one.
        connections: how many there have been.

    """

    url: str

    def __init__(self) -> None:
        self.seen: list[Request] = []
        self.reply: Reply | Callable[[Request], Reply] | None = None
        self.hangs = False
        self.trickles = False
        self.begun = asyncio.Event()
        self.gone = asyncio.Event()
        self.connections = 0

    @property
    def last(self) -> Request:
        """The latest request."""
        return self.seen[-1]

    async def serve(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        """Answer a connection's requests until it is closed."""
        self.connections += 1
        try:
            while (request := await _read(reader)) is not None:
                self.seen.append(request)
                if self.hangs:
                    self.begun.set()
                    await reader.read()
                    self.gone.set()
                    return
                if self.trickles:
                    writer.write(b"HTTP/1.1 200 OK\r\ncontent-type: application/json\r\n\r\n[")
                    while not writer.is_closing():
                        writer.write(b" " * 2**20)
                        await writer.drain()
                    return
                reply = self.reply or _answer
                writer.write(_written(reply if isinstance(reply, Reply) else reply(request)))
                await writer.drain()
        except ConnectionError:
            self.gone.set()
        finally:
            writer.close()


async def _read(reader: asyncio.StreamReader) -> Request | None:
    head = await reader.readuntil(b"\r\n\r\n") if not reader.at_eof() else b""
    if not head:
        return None
    first, *lines = head.decode("latin-1").split("\r\n")
    pairs = (line.partition(":") for line in lines if line)
    headers = {name.strip().lower(): value.strip() for name, _, value in pairs}
    body = await reader.readexactly(int(headers.get("content-length", 0)))
    return Request(first.split()[1], headers, body)


def _written(reply: Reply) -> bytes:
    body, headers = reply.encoded()
    lines = [f"HTTP/1.1 {reply.status} X", *(f"{name}: {value}" for name, value in headers.items())]
    return "\r\n".join([*lines, f"content-length: {len(body)}", "", ""]).encode() + body


def _answer(request: Request) -> Reply:
    path, _, chat = request.path.partition("/v1/")
    prefix, _, name = path.rpartition("/")
    model = CHAT if chat == "chat/completions" else MODELS.get(name)
    if model is None or not prefix.endswith("/models/acme"):
        return Reply({"error": f"Model {name} does not exist"}, 404)
    return Reply(model(request))


@asynccontextmanager
async def inference() -> AsyncIterator[Inference]:
    """The service, for a while; all its callers must have hung up when it ends."""
    service = Inference()
    talks: set[asyncio.Task[Any] | None] = set()

    async def connected(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        talks.add(asyncio.current_task())
        with suppress(asyncio.IncompleteReadError):
            await service.serve(reader, writer)

    server = await asyncio.start_server(connected, "127.0.0.1", 0)
    host, port = server.sockets[0].getsockname()[:2]
    service.url = f"http://{host}:{port}"
    try:
        yield service
    finally:
        server.close()
        await server.wait_closed()
        _, left = await asyncio.wait([talk for talk in talks if talk], timeout=5) if talks else ((), ())
        assert not left, "a connection was left open"


# The models ----------------------------------------------------------------------------------------------


def _sentiment(request: Request) -> Any:
    good = 0.9 if "love" in request.inputs else 0.2
    return [[{"label": "NEGATIVE", "score": 1 - good}, {"label": "POSITIVE", "score": good}]]


def _names(request: Request) -> Any:
    start = request.inputs.index("Berlin")
    return [{"entity_group": "LOC", "score": 0.99, "word": "berlin", "start": start, "end": start + 6}]


def _gap(request: Request) -> Any:
    assert request.inputs.count("[MASK]") == 1
    return [
        {
            "score": score,
            "token": 7,
            "token_str": word,
            "sequence": request.inputs.replace("[MASK]", word),
        }
        for word, score in (("cat", 0.6), ("dog", 0.3))
    ]


def _under_labels(request: Request) -> Any:
    labels = request.parameters["candidate_labels"]
    scores = np.linspace(1, 2, len(labels))
    return [
        {"label": label, "score": float(score / scores.sum())}
        for label, score in zip(labels, scores, strict=True)
    ]


def _rows(request: Request) -> Any:
    table = request.json["table"]
    return ["big" if int(cell) > 2 else "small" for cell in table["rooms"]]


def _table_answer(request: Request) -> Any:
    assert request.inputs["query"]
    return {"answer": request.inputs["table"]["name"][0], "coordinates": [[0, 0]], "cells": ["house"]}


def _objects(request: Request) -> Any:
    height, width = request.picture.pixels.shape[:2]
    corner = {"xmin": -5, "ymin": 0, "xmax": width // 2, "ymax": height // 2}
    whole = {"xmin": 1, "ymin": 1, "xmax": width + 9, "ymax": height + 9}
    return [
        {"label": "cat", "score": 0.61, "box": corner},
        {"label": "dog", "score": 0.97, "box": whole},
        {"label": "cat", "score": 0.72, "box": corner},
    ]


def _segments(request: Request) -> Any:
    height, width = request.picture.pixels.shape[:2]
    left = np.zeros((height, width), np.uint8)
    left[:, : width // 2] = 255
    parts = (("sky", left), ("sea", 255 - left))
    return [
        {
            "label": name,
            "score": 0.9,
            "mask": base64.b64encode(encode(Image(mask)).data).decode(),
        }
        for name, mask in parts
    ]


def _negative(request: Request) -> bytes:
    return encode(Image(255 - request.picture.pixels)).data


def _drawn(request: Request) -> bytes:
    side = request.parameters.get("width", 32), request.parameters.get("height", 32)
    level = request.parameters.get("seed", 0) % 256
    return encode(Image(np.full((side[1], side[0], 3), level, np.uint8))).data


def _half_as_loud(request: Request) -> Any:
    sound = request.sound
    blob = base64.b64encode(encode(Audio(sound.samples * np.float32(0.5), sound.rate)).data).decode()
    return [{"label": "out", "content-type": "audio/wav", "blob": blob}]


def film() -> bytes:
    """A short film."""
    return encode(Video(np.zeros((4, 32, 32, 3), np.uint8), 8.0)).data


def _tone(request: Request) -> bytes:
    return encode(Audio(np.zeros(100 * len(request.inputs), np.float32), 16_000)).data


def CHAT(request: Request) -> Any:  # noqa: N802
    """A chat model: it thinks, and says what it was told; of a picture, how large it is."""
    content = request.json["messages"][-1]["content"]
    if isinstance(content, list):
        picture, words = content
        data = base64.b64decode(picture["image_url"]["url"].partition("base64,")[2])
        value = decode(File(data, UNKNOWN), Modality.IMAGE)
        assert isinstance(value, Image)
        content = f"{words['text']} {value.pixels.shape[1]} wide"
    message = {"role": "assistant", "content": f"<think>hm</think>\n\nYou said: {content}"}
    return {
        "id": "1",
        "object": "chat.completion",
        "created": 1,
        "model": request.json["model"],
        "choices": [{"index": 0, "finish_reason": "stop", "message": message}],
    }


MODELS: dict[str, Model] = {
    "text-classification": _sentiment,
    "token-classification": _names,
    "fill-mask": _gap,
    "zero-shot-classification": _under_labels,
    "summarization": lambda request: [{"summary_text": request.inputs.split(".")[0]}],
    "translation": lambda request: [{"translation_text": request.inputs.upper()}],
    "question-answering": lambda request: {
        "answer": request.inputs["context"].split()[0], "score": 0.8, "start": 0, "end": 5,
    },
    "text-generation": lambda request: [{"generated_text": " and so on"}],
    "text2text-generation": lambda request: [{"generated_text": request.inputs[::-1]}],
    "sentence-similarity": lambda request: [
        float(request.inputs["source_sentence"] == other) for other in request.inputs["sentences"]
    ],
    "feature-extraction": lambda request: [[[1.0, 2.0], [3.0, 4.0]]],
    "table-question-answering": _table_answer,
    "tabular-classification": _rows,
    "image-classification": lambda request: [
        {"label": "dark", "score": 1 - request.picture.pixels.mean() / 255},
        {"label": "light", "score": request.picture.pixels.mean() / 255},
    ],
    "zero-shot-image-classification": _under_labels,
    "object-detection": _objects,
    "image-segmentation": _segments,
    "image-to-text": lambda request: [{"generated_text": f"{request.picture.pixels.shape[1]} wide"}],
    "visual-question-answering": lambda request: [
        {"answer": "no", "score": 0.1}, {"answer": request.json["question"], "score": 0.7},
    ],
    "document-question-answering": lambda request: [
        {"answer": request.inputs["question"], "score": 0.7, "start": 0, "end": 1},
    ],
    "image-to-image": _negative,
    "text-to-image": _drawn,
    "text-to-speech": _tone,
    "automatic-speech-recognition": lambda request: {"text": f" {len(request.sound.samples)} samples"},
    "audio-classification": lambda request: [
        {"label": "noise", "score": 0.4}, {"label": "tone", "score": 0.6},
    ],
    "audio-to-audio": _half_as_loud,
}  # fmt: skip
