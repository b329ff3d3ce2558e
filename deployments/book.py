"""What the fleet remembers over a restart: who belongs to it, who is pinned, and what was measured."""

import json
import logging
import os
from pathlib import Path
from typing import Self

from pydantic import BaseModel, ConfigDict, ValidationError

from model_catalog.card import ModelCard
from model_catalog.share import Facts, Measured

logger = logging.getLogger("ray.serve")

NAME = "fleet.json"


class Book(BaseModel):
    """The fleet's memory, kept in a file.

    Attributes:
        added: cards of experts that came while it ran, by model.
        removed: models of the settings that were taken out while it ran.
        pinned: models that never sleep.
        awake: the cards of those that were awake, which may run on when the keeper starts anew.
        measured: the memory of GPUs that replicas measured, by model.
        ram: bytes of a node's memory that replicas on the CPU took, with a margin, by model.
        facts: what repositories tell of a model's memory, by model and revision.
        wake_s: seconds that waking took, by model.

    """

    model_config = ConfigDict(extra="ignore")

    added: dict[str, ModelCard] = {}
    removed: set[str] = set()
    pinned: set[str] = set()
    awake: dict[str, ModelCard] = {}
    measured: dict[str, Measured] = {}
    ram: dict[str, int] = {}
    facts: dict[str, Facts] = {}
    wake_s: dict[str, float] = {}

    @classmethod
    def read(cls, folder: Path) -> Self:
        """The book of a folder; an empty one where there is none, or one that cannot be read."""
        path = folder / NAME
        try:
            return cls.model_validate_json(path.read_text(encoding="utf-8"))
        except FileNotFoundError:
            return cls()
        except (OSError, ValidationError, ValueError) as error:
            spoiled = path.with_suffix(".spoiled")
            logger.warning("%s cannot be read (%s); it is kept as %s", path, type(error).__name__, spoiled)
            if path.is_file():
                os.replace(path, spoiled)  # noqa: PTH105
            return cls()

    def write(self, folder: Path) -> None:
        """Keep it, whole or not at all."""
        folder.mkdir(parents=True, exist_ok=True, mode=0o700)
        part = folder / f"{NAME}.{os.getpid()}.part"
        data = json.dumps(self.model_dump(mode="json", exclude_defaults=True), ensure_ascii=False, indent=1)
        with part.open("w", encoding="utf-8") as stream:
            stream.write(data)
            stream.flush()
            os.fsync(stream.fileno())
        os.replace(part, folder / NAME)  # noqa: PTH105
