"""Pictures under labels, and things found in pictures."""

import re
from typing import Any

import numpy as np
import pytest

from deployments.errors import ExpertError, InputError, StoppedError
from deployments.media import Image
from deployments.result import Input, Result
from deployments.runners.base import Runner
from deployments.runners.lists import labels_of
from deployments.runners.pictures import apart, counted, inside, plural
from tests.support.neural import alike, ask, ask_all, opened, shared
from tests.support.tiny import Builder, vision
from tests.support.tiny.vision import mixed, photo

DETECT, NAMED = "object-detection", "zero-shot-object-detection"
CLASSIFY, SORT = "image-classification", "zero-shot-image-classification"
DETECTORS = (vision.yolos, vision.detr, vision.rt_detr)
FINDERS = (vision.owl, vision.owl2, vision.grounding)


def check_found(result: Result, image: Image, labels: set[str]) -> None:
    """Findings lie inside the picture, the best first, and agree with the drawing, the words and the mask."""
    height, width = image.pixels.shape[:2]
    assert result.image is not None
    assert result.mask is not None
    assert result.image.pixels.shape == (height, width, 3)
    mask = np.zeros((height, width), bool)
    for entry in result.data:
        assert entry["label"] in labels
        box = entry["box"]
        assert 0 <= box["xmin"] < box["xmax"] <= width
        assert 0 <= box["ymin"] < box["ymax"] <= height
        assert all(type(side) is int for side in box.values())
        mask[box["ymin"] : box["ymax"], box["xmin"] : box["xmax"]] = True
    scores = [entry["score"] for entry in result.data]
    assert scores == sorted(scores, reverse=True)
    assert np.array_equal(result.mask.pixels == 255, mask)
    told = sum(int(number) for number in re.findall(r"\d+", result.text or ""))
    assert told == len(result.data)


def test_a_picture_is_sorted_under_the_models_labels() -> None:
    runner = shared(CLASSIFY, vision.classifier, CLASSIFY)
    result = ask(runner, CLASSIFY, image=photo())
    scores = [entry["score"] for entry in result.data]
    assert {entry["label"] for entry in result.data} == set(vision.KINDS.values())
    assert scores == sorted(scores, reverse=True)
    assert sum(scores) == pytest.approx(1, abs=1e-3)
    assert result.text is not None
    assert result.text.startswith(result.data[0]["label"].partition(",")[0])
    assert "," not in result.text
    assert len(ask(runner, CLASSIFY, image=photo(), top_k="1").data) == 1


def test_independent_labels_are_scored_independently() -> None:
    result = ask(shared(CLASSIFY, vision.tagger, CLASSIFY), CLASSIFY, image=photo())
    assert sum(entry["score"] for entry in result.data) > 1.2


def test_grey_and_transparent_pictures_are_as_coloured_ones() -> None:
    runner = shared(CLASSIFY, vision.classifier, CLASSIFY)
    grey = photo().pixels[:, :, 0]
    same = [
        Image(grey),
        Image(np.dstack([grey] * 3)),
        Image(np.dstack([grey] * 3 + [np.full_like(grey, 255)])),
    ]
    results = [ask(runner, CLASSIFY, image=image).data for image in same]
    assert results[0] == results[1] == results[2]
    assert results[0] != ask(runner, CLASSIFY, image=photo(5)).data


@pytest.mark.parametrize("size", [(1, 1), (3, 50), (1, 30), (30, 3)])
def test_tiny_pictures_are_looked_at(size: tuple[int, int]) -> None:
    assert ask(shared(CLASSIFY, vision.classifier, CLASSIFY), CLASSIFY, image=photo(0, *size)).data
    found = ask(shared(DETECT, vision.detr, DETECT), DETECT, image=photo(0, *size), threshold="0.1")
    check_found(found, photo(0, *size), set(vision.KINDS.values()))


def test_a_mere_line_is_refused_and_its_neighbours_are_not() -> None:
    runner = shared(CLASSIFY, vision.classifier, CLASSIFY)
    line, good = runner.run([Input(CLASSIFY, {"image": image}) for image in (photo(0, 2, 300), photo())])
    assert isinstance(line, InputError)
    assert "too narrow" in str(line)
    assert isinstance(good, Result)


def test_without_a_picture_the_call_is_refused() -> None:
    with pytest.raises(InputError, match="needs a picture under 'image'"):
        ask(shared(CLASSIFY, vision.classifier, CLASSIFY), CLASSIFY, image="a cat")


@pytest.mark.parametrize("builder", DETECTORS)
def test_objects_are_found_drawn_and_counted(builder: Builder) -> None:
    runner = shared(DETECT, builder, DETECT)
    found = ask(runner, DETECT, image=photo(), threshold="0.05")
    assert found.data
    check_found(found, photo(), set(vision.KINDS.values()))
    assert np.any(found.image.pixels != photo().pixels)  # type: ignore[union-attr]


def test_nothing_found_leaves_the_picture_and_a_black_mask() -> None:
    result = ask(shared(DETECT, vision.detr, DETECT), DETECT, image=photo(), threshold="1")
    assert (result.data, result.text) == ([], "nothing found")
    assert np.array_equal(result.image.pixels, photo().pixels)  # type: ignore[union-attr]
    assert not result.mask.pixels.any()  # type: ignore[union-attr]


def test_the_threshold_decides_what_is_found() -> None:
    runner = shared(DETECT, vision.rt_detr, DETECT)
    every = ask(runner, DETECT, image=photo(), threshold="0").data
    middle = every[len(every) // 2]["score"]
    assert len(every) > 1
    assert ask(runner, DETECT, image=photo(), threshold=str(middle)).data == [
        entry for entry in every if entry["score"] > middle
    ]
    with pytest.raises(InputError, match="threshold must be a number from 0 to 1"):
        ask(runner, DETECT, image=photo(), threshold="high")


def eight(runner: Runner, task: str, **args: Any) -> None:
    several = [{"image": image, **args} for image in mixed()]
    batch = ask_all(runner, task, several)
    alone = [ask(runner, task, **one) for one in several]
    assert alike([result.data for result in batch], [result.data for result in alone])
    assert len({str(result.data) for result in alone}) > 1  # else the order could not be told


@pytest.mark.parametrize("builder", [vision.classifier, vision.tagger])
def test_eight_pictures_at_once_are_as_eight_alone(builder: Builder) -> None:
    eight(shared(CLASSIFY, builder, CLASSIFY), CLASSIFY)


@pytest.mark.parametrize("builder", DETECTORS)
def test_objects_of_eight_pictures_at_once_are_as_of_eight_alone(builder: Builder) -> None:
    eight(shared(DETECT, builder, DETECT), DETECT, threshold="0.05")


@pytest.mark.parametrize("builder", FINDERS)
def test_named_objects_of_eight_pictures_at_once_are_as_of_eight_alone(builder: Builder) -> None:
    eight(shared(NAMED, builder, NAMED), NAMED, threshold="0.0", labels="cat, red car")


def test_a_batch_has_one_shape_where_the_model_sees_the_shape() -> None:
    tall, wide = (Input(DETECT, {"image": photo(0, *size)}) for size in ((90, 60), (60, 90)))
    keeps = shared(DETECT, vision.detr, DETECT)
    assert keeps.key(tall) != keeps.key(wide)
    squares = shared(DETECT, vision.rt_detr, DETECT)
    assert squares.key(tall) == squares.key(wide)
    assert keeps.key(Input(DETECT, {"image": "none"})) is None


def test_one_call_of_the_model_serves_a_batch(monkeypatch: pytest.MonkeyPatch) -> None:
    runner: Any = opened(CLASSIFY, vision.classifier, CLASSIFY)
    seen: list[int] = []
    runner.model.register_forward_pre_hook(
        lambda _, args, kwargs: seen.append(len(kwargs["pixel_values"])), with_kwargs=True
    )
    ask_all(runner, CLASSIFY, [{"image": image} for image in mixed()])
    assert seen == [8]


@pytest.mark.parametrize("builder", [vision.clip, vision.siglip])
def test_a_picture_is_sorted_under_the_requests_labels(builder: Builder) -> None:
    runner = shared(SORT, builder, SORT)
    result = ask(runner, SORT, image=photo(), labels="cat, a red car , cat,")
    assert {entry["label"] for entry in result.data} == {"cat", "a red car"}
    total = sum(entry["score"] for entry in result.data)
    assert (total == pytest.approx(1, abs=1e-3)) == (builder is vision.clip)


@pytest.mark.parametrize("builder", [vision.clip, vision.siglip])
def test_pictures_of_one_batch_may_have_different_labels(builder: Builder) -> None:
    runner = shared(SORT, builder, SORT)
    wanted = ("cat, dog", "car", "dog, house, car, city", "cat, dog")
    several = [{"image": image, "labels": labels} for image, labels in zip(mixed(8), wanted * 2, strict=True)]
    batch = ask_all(runner, SORT, several)
    alone = [ask(runner, SORT, **args) for args in several]
    assert alike([result.data for result in batch], [result.data for result in alone])
    assert batch[1].data[0]["label"] == "car"
    assert len(batch[2].data) == 4


@pytest.mark.parametrize("builder", FINDERS)
def test_named_objects_are_found(builder: Builder) -> None:
    labels = "cat, a dog, Red Car"
    found = ask(shared(NAMED, builder, NAMED), NAMED, image=photo(), labels=labels, threshold="0.0")
    assert found.data
    check_found(found, photo(), set(labels.split(", ")))


def test_a_wide_picture_of_owlv2_is_measured_by_its_longer_side() -> None:
    runner: Any = shared(NAMED, vision.owl2, NAMED)
    corners = runner._corners(np.array([[0.5, 0.25, 0.5, 0.5]], np.float32), (60, 120))
    assert corners.tolist() == [[30, 0, 90, 60]]


def test_each_label_of_a_sentence_has_its_own_words() -> None:
    runner: Any = shared(NAMED, vision.grounding, NAMED)
    labels = ["a dog", "Red car", "..."]
    places = runner._places(labels)
    words = runner._tokenizer.convert_ids_to_tokens(runner._words(labels)["input_ids"][0])
    told = ["".join(words[n] for n in tokens).replace("##", "") for tokens in places]
    assert told == ["adog", "redcar", "thing"]


def test_more_labels_than_the_model_reads_are_refused() -> None:
    labels = ", ".join(f"red house {n}" for n in range(60))
    with pytest.raises(InputError, match="so many labels at once"):
        ask(shared(NAMED, vision.grounding, NAMED), NAMED, image=photo(), labels=labels)


@pytest.mark.parametrize(
    ("written", "labels"),
    [
        ("cat, dog", ("cat", "dog")),
        ('["a, b", "c"]', ("a, b", "c")),
        ("[cat, dog]", ("cat", "dog")),
        (" cat ,, cat", ("cat",)),
        ("cat\ndog", ("cat", "dog")),
    ],
)
def test_labels_are_read_as_people_and_plans_write_them(written: str, labels: tuple[str, ...]) -> None:
    assert labels_of(Input(SORT, {"labels": written})) == labels


@pytest.mark.parametrize("written", ["", " , ", "[]", ",".join(map(str, range(200))), "x" * 300])
def test_labels_that_cannot_be_used_are_refused(written: str) -> None:
    with pytest.raises(InputError, match="labels"):
        labels_of(Input(SORT, {"labels": written}))


def test_a_model_without_a_head_is_refused_with_the_missing_weights() -> None:
    with pytest.raises(ExpertError, match=r"missing: classifier\.bias, classifier\.weight"):
        opened(CLASSIFY, vision.encoder, CLASSIFY)


@pytest.mark.parametrize(
    ("runner", "builder"),
    [(DETECT, vision.classifier), (NAMED, vision.clip), (SORT, vision.classifier), (CLASSIFY, vision.detr)],
)
def test_a_model_for_another_task_is_refused(runner: str, builder: Builder) -> None:
    with pytest.raises(ExpertError, match=f"cannot do {runner}"):
        opened(runner, builder, runner)


def test_a_call_that_nobody_waits_for_ends_before_the_model_runs(monkeypatch: pytest.MonkeyPatch) -> None:
    runner: Any = opened(DETECT, vision.yolos, DETECT)
    prepare = runner.features
    monkeypatch.setattr(runner, "features", lambda small: (runner.stopping.set(), prepare(small))[1])
    ran = []
    runner.model.class_labels_classifier.register_forward_hook(lambda *_: ran.append(1))
    with pytest.raises(StoppedError):
        runner.run([Input(DETECT, {"image": photo()})])
    assert not ran


def test_things_are_counted_in_words() -> None:
    assert counted(["cat", "dog", "dog"]) == "2 dogs and 1 cat"
    assert counted(["a red car", "a red car", "person", "person", "cat, house cat"]) == (
        "2 red cars, 2 people and 1 cat"
    )
    assert counted([]) == "nothing found"


@pytest.mark.parametrize(
    ("one", "many"),
    [
        ("bus", "buses"),
        ("couch", "couches"),
        ("lady", "ladies"),
        ("boy", "boys"),
        ("wine glass", "wine glasses"),
        ("sheep", "sheep"),
        ("Person", "People"),
        ("LABEL_1", "LABEL_1"),
    ],
)
def test_plurals(one: str, many: str) -> None:
    assert plural(one) == many


@pytest.mark.parametrize(
    ("box", "within"),
    [
        ((-5, -5, 200, 200), (0, 0, 90, 60)),
        ((10.2, 20.7, 30.1, 40.9), (10, 20, 31, 41)),
        ((95, 70, 99, 80), (89, 59, 90, 60)),
        ((-9, -9, -4, -4), (0, 0, 1, 1)),
        ((float("nan"), 0, float("inf"), 5), (0, 0, 90, 5)),
    ],
)
def test_boxes_end_inside_the_picture(box: tuple[float, ...], within: tuple[int, ...]) -> None:
    assert tuple(inside(box, (60, 90)).values()) == within


def test_of_boxes_that_mean_one_thing_the_best_stays() -> None:
    boxes = np.array([[0, 0, 10, 10], [1, 0, 10, 10], [20, 20, 30, 30], [0, 0, 5, 10]], np.float32)
    scores = np.array([0.5, 0.9, 0.7, 0.6], np.float32)
    assert apart(boxes, scores, 0.7) == [1, 2, 3]
    assert apart(boxes, scores, 0.39) == [1, 2]
    assert apart(boxes[:0], scores[:0], 0.5) == []
