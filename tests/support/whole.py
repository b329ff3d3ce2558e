"""A whole product without Ray: the embedded brain, a real store, and an expert for each task."""

import os
from collections.abc import Mapping
from typing import Any

import numpy as np

from controller.api.app import Backend
from controller.controller import Controller
from controller.responder import EmbeddedResponder
from controller.rules.planner import EmbeddedPlanner
from controller.settings import Settings
from deployments.account import Account
from deployments.artifacts import Artifacts
from deployments.media import Audio, Image, Video
from deployments.result import Result
from model_catalog.tasks import TASKS, Modality
from tests.api.doors import Stored
from tests.support.brains import FakeMeter
from tests.support.cluster import card
from tests.support.fakes import Called, now, selector

_LABELS = [{"label": "cat", "score": 0.75}, {"label": "dog", "score": 0.25}]
_BOX = {"xmin": 1, "ymin": 2, "xmax": 5, "ymax": 6}
_FOUND = [{"label": "cat", "score": 0.75, "box": _BOX}]
_PARTS = [{**_FOUND[0], "area": 0.25, "mask": {"size": [8, 8], "counts": [8, 16, 40]}}]
_ANSWER = {"answer": "cat", "score": 0.75, "start": 0, "end": 3}

DATA: Mapping[str, Any] = {
    "token-classification": [{"entity_group": "LOC", "score": 0.9, "word": "Paris", "start": 0, "end": 5}],
    "question-answering": _ANSWER,
    "document-question-answering": {"answer": "cat", "score": 0.75},
    "visual-question-answering": [{"answer": "cat", "score": 0.75}],
    "table-question-answering": {
        "answer": "7", "coordinates": [[0, 0]], "cells": ["7"], "aggregator": "NONE"
    },
    "sentence-similarity": {"score": 0.5},
    "tabular-classification": [{"row": 1, "label": "cat"}],
    "object-detection": _FOUND,
    "zero-shot-object-detection": _FOUND,
    "image-segmentation": _PARTS,
    "mask-generation": _PARTS,
    "image-to-text": {"caption": "a cat"},
    "automatic-speech-recognition": {
        "text": "a cat", "chunks": [{"timestamp": [0.0, 1.0], "text": "a cat"}]
    },
    "fill-mask": [{"score": 0.9, "token": 1, "token_str": "cat", "sequence": "a cat"}],
    "feature-extraction": [0.25, 0.5, 0.75],
}  # fmt: skip
"""What experts tell as data, where it is not labels with scores."""

_PICTURE = Image(np.zeros((8, 8, 3), np.uint8))
_SOUND = Audio(np.zeros(1600, np.float32), 16_000)
_FILM = Video(np.zeros((4, 16, 16, 3), np.uint8), 4.0)


def _answered(called: Called) -> Result:
    """What an expert of that task gives."""
    row = TASKS[called.call.task]
    return Result(
        text="a cat" if Modality.TEXT in row.outputs else None,
        data=DATA.get(row.name, _LABELS) if Modality.DATA in row.outputs else None,
        image=_PICTURE if Modality.IMAGE in row.outputs else None,
        audio=_SOUND if Modality.AUDIO in row.outputs else None,
        video=_FILM if Modality.VIDEO in row.outputs else None,
        model=called.card.id,
        started=now(),
        finished=now(),
    )


def backend(folder: "os.PathLike[str]", **settings: Any) -> Backend:
    """What the doors lead to; files lie in the folder."""
    store = Artifacts(os.fspath(folder))

    def keep(result: Result) -> Account:
        made = [value for value in (result.image, result.audio, result.video) if value is not None]
        return Account.of(result, tuple(store._store(value) for value in made))

    cluster = Stored(_answered, keep=keep, store_of_files=store)
    controller = Controller(
        Settings(**settings),
        EmbeddedPlanner(),
        EmbeddedResponder(),
        selector([card(name, name, "Echo") for name in TASKS]),
        cluster,
        FakeMeter(),
    )
    return Backend(controller, store)
