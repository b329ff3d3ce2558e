"""Text in pictures, read by RapidOCR on the models that its wheel carries."""

from collections.abc import Sequence
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from deployments.errors import ExpertError
from deployments.media import rgb
from deployments.result import Input, Result
from deployments.runners.single import THREADS, SingleRunner, image_of
from model_catalog.card import ModelCard

_LONGEST = 5  # times its short side, a picture's long one

Line = dict[str, Any]


class RapidOcr(SingleRunner):
    """Reads the lines of text in a picture, from top to bottom and left to right.

    A picture without text gives an empty text and an empty list.
    """

    def load(self, card: ModelCard, device: str) -> None:
        """Take detector, angle classifier and recognizer from the wheel; nothing is downloaded."""
        super().load(card, device)
        import rapidocr

        folder = Path(rapidocr.__file__).parent / "models"
        engine = "EngineConfig.onnxruntime"
        self._engine = rapidocr.RapidOCR(
            params={
                "Global.log_level": "critical",
                f"{engine}.intra_op_num_threads": THREADS,
                f"{engine}.inter_op_num_threads": 1,
                # With a path of its own, a part never looks for a download.
                **{f"{part}.model_path": str(_model(folder, part.lower())) for part in ("Det", "Cls", "Rec")},
            }
        )

    def warm_up(self) -> None:
        """Read one word, which loads all three models."""
        import cv2

        page = np.full((96, 320, 3), 255, np.uint8)
        cv2.putText(page, "READY", (40, 64), cv2.FONT_HERSHEY_SIMPLEX, 1.6, (0, 0, 0), 3)
        self._read(page)

    def answer(self, item: Input) -> Result:
        """The picture's text, and each line with its score and its box in pixels."""
        lines = in_reading_order(self._read(rgb(image_of(item))))
        return Result(text="\n".join(line["text"] for line in lines), data=lines)

    def _read(self, pixels: NDArray[np.uint8]) -> list[Line]:
        found = self._engine(np.ascontiguousarray(_widened(pixels)[:, :, ::-1]))
        if found.txts is None or found.boxes is None:
            return []
        height, width = pixels.shape[:2]
        return [
            {"text": text, "score": round(float(score), 4), "box": _box(corners, width, height)}
            for text, score, corners in zip(found.txts, found.scores, found.boxes, strict=True)
        ]


def _model(folder: Path, part: str) -> Path:
    found = sorted(folder.glob(f"*_{part}_*.onnx"))
    if not found:
        raise ExpertError("The models of rapidocr are not in its package; install it again.")
    return found[-1]


def _widened(pixels: NDArray[np.uint8]) -> NDArray[np.uint8]:
    """The picture with its short side filled up on the right or below.

    The detector scales the short side to 736 pixels, so that a thin strip would cost seconds or fail.
    """
    least = max(pixels.shape[:2]) // _LONGEST + 1
    filling = [(0, max(0, least - side)) for side in pixels.shape[:2]]
    return np.pad(pixels, (*filling, (0, 0)), mode="edge") if any(add for _, add in filling) else pixels


def _box(corners: NDArray[np.float32], width: int, height: int) -> dict[str, int]:
    across, down = corners[:, 0].clip(0, width), corners[:, 1].clip(0, height)
    return {
        "xmin": round(float(across.min())),
        "ymin": round(float(down.min())),
        "xmax": round(float(across.max())),
        "ymax": round(float(down.max())),
    }


def in_reading_order(lines: Sequence[Line]) -> list[Line]:
    """Rows from top to bottom; pieces whose middle lies within a row's height belong to it, left to right."""
    rows: list[list[Line]] = []
    for line in sorted(lines, key=lambda line: _middle(line["box"])):
        first = rows[-1][0]["box"] if rows else None
        if first is not None and _middle(line["box"]) < first["ymax"]:
            rows[-1].append(line)
        else:
            rows.append([line])
    return [line for row in rows for line in sorted(row, key=lambda line: line["box"]["xmin"])]


def _middle(box: dict[str, int]) -> float:
    return (box["ymin"] + box["ymax"]) / 2
