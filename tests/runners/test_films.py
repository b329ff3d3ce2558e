"""Films under labels."""

from typing import Any

import numpy as np
import pytest

from deployments.errors import ExpertError, InputError
from deployments.media import Video
from deployments.result import Input
from tests.support.neural import alike, ask, ask_all, opened, shared
from tests.support.tiny import Builder, vision
from tests.support.tiny.vision import photo

TASK = "video-classification"


def film(seed: int, frames: int, height: int = 40, width: int = 60) -> Video:
    return Video(np.stack([photo(seed + n, height, width).pixels for n in range(frames)]), 8.0)


@pytest.mark.parametrize("builder", [vision.videomae, vision.timesformer])
def test_a_film_is_sorted_under_the_models_labels(builder: Builder) -> None:
    result = ask(shared(TASK, builder, TASK), TASK, video=film(0, 9))
    scores = [entry["score"] for entry in result.data]
    assert {entry["label"] for entry in result.data} == set(vision.KINDS.values())
    assert scores == sorted(scores, reverse=True)
    assert sum(scores) == pytest.approx(1, abs=1e-3)
    assert "," not in (result.text or ",")
    assert len(ask(shared(TASK, builder, TASK), TASK, video=film(0, 9), top_k="2").data) == 2


@pytest.mark.parametrize("builder", [vision.videomae, vision.timesformer])
def test_eight_films_at_once_are_as_eight_alone(builder: Builder) -> None:
    runner = shared(TASK, builder, TASK)
    several = [{"video": film(n, 1 + 3 * n, *((40, 60), (60, 40))[n % 2])} for n in range(8)]
    batch = ask_all(runner, TASK, several)
    alone = [ask(runner, TASK, **args) for args in several]
    assert alike([result.data for result in batch], [result.data for result in alone])
    assert len({str(result.data) for result in alone}) > 1


def test_frames_are_taken_evenly_from_the_whole_film() -> None:
    runner: Any = shared(TASK, vision.videomae, TASK)
    frames = np.stack([np.full((8, 8, 3), n, np.uint8) for n in range(10)])
    taken, _ = runner.ready(Input(TASK, {"video": Video(frames, 8.0)}))
    assert [frame.getpixel((0, 0))[0] for frame in taken] == [0, 3, 6, 9]
    taken, _ = runner.ready(Input(TASK, {"video": Video(frames[:1], 8.0)}))
    assert len(taken) == 4


def test_without_a_film_the_call_is_refused() -> None:
    runner = shared(TASK, vision.videomae, TASK)
    with pytest.raises(InputError, match="needs a video under 'video'"):
        ask(runner, TASK, video=photo())
    assert runner.key(Input(TASK, {"video": photo()})) is None


def test_a_model_for_another_task_is_refused() -> None:
    with pytest.raises(ExpertError, match="cannot do video-classification"):
        opened(TASK, vision.classifier, TASK)
