"""Tasks of sound in the inference protocol: what clients send, and the answers they read."""

import base64
from typing import Any

from controller.api.inference.job import Job
from controller.errors import RequestError


async def transcript(job: Job) -> Any:
    """What is said in a recording; with ``return_timestamps`` in phrases with their times, in seconds."""
    times = job.asked.take("return_timestamps")
    if times not in (None, True, False):
        raise RequestError("Times are told of phrases; say true for return_timestamps.", "return_timestamps")
    outcome = await job.run({"audio": await job.asked.file()})
    told: dict[str, Any] = {"text": outcome.text or ""}
    if times:
        chunks = outcome.data.get("chunks", []) if isinstance(outcome.data, dict) else []
        told["chunks"] = [
            {"text": chunk["text"], "timestamp": [chunk["start"], chunk["end"]]} for chunk in chunks
        ]
    return told


async def sound(job: Job) -> Any:
    """A recording made of another one."""
    file = await job.file(await job.run({"audio": await job.asked.file()}))
    blob = base64.b64encode(file.data).decode()
    return [{"label": job.row.label, "content-type": file.media_type, "blob": blob}]


async def speech(job: Job) -> Any:
    """A text as sound."""
    return await job.file(await job.run({"text": job.asked.words()}))
