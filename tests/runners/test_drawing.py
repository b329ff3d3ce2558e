"""Findings drawn on pictures."""

import numpy as np
import pytest

from deployments.media import Image
from deployments.runners.drawing import around, boxed, colours, decoded, filled, palette, run_lengths, tinted

BOX = {"xmin": 20, "ymin": 30, "xmax": 60, "ymax": 80}


def grey(height: int = 120, width: int = 160) -> Image:
    return Image(np.full((height, width, 3), 100, np.uint8))


def is_of(image: Image, colour: tuple[int, int, int]) -> np.ndarray:
    same: np.ndarray = np.all(image.pixels == colour, axis=2)
    return same


def test_colours_differ_and_a_label_keeps_its_own() -> None:
    assert len(set(palette(150))) == 150
    of = colours(["dog", "cat", "dog"])
    assert list(of) == ["dog", "cat"]
    assert of["dog"] == palette(1)[0]


def test_a_box_is_drawn_around_a_finding_and_the_picture_keeps_its_size() -> None:
    drawn = boxed(grey(), [{"label": "dog", "score": 0.9, "box": BOX}])
    assert drawn.pixels.shape == (120, 160, 3)
    edge = is_of(drawn, palette(1)[0])
    assert edge[30:80, 20].all()
    assert edge[79, 20:60].all()
    assert not edge[40:70, 30:50].any()  # the thing itself stays visible
    assert not edge[81:].any()


@pytest.mark.parametrize("mode", ["grey", "transparent"])
def test_any_kind_of_picture_can_be_drawn_on(mode: str) -> None:
    pixels = np.full((50, 50), 9, np.uint8) if mode == "grey" else np.zeros((50, 50, 4), np.uint8)
    drawn = boxed(Image(pixels), [])
    assert drawn.pixels.shape == (50, 50, 3)
    assert drawn.pixels[0, 0].tolist() == ([9, 9, 9] if mode == "grey" else [255, 255, 255])


def tag_area(box: dict[str, int], label: str = "dog") -> int:
    """How many pixels a tag takes, its letters included: all that the box alone does not change."""
    drawn = boxed(grey(), [{"label": label, "score": 0.5, "box": box}])
    bare = boxed(grey(), [{"label": label, "score": 0.5, "box": box}][:0])
    changed = np.any(drawn.pixels != bare.pixels, axis=2)
    inner = changed.copy()
    inner[box["ymin"] : box["ymax"], box["xmin"]] = False
    return int(inner.sum())


@pytest.mark.parametrize(
    "corner",
    [
        {"xmin": 0, "ymin": 0, "xmax": 4, "ymax": 4},
        {"xmin": 156, "ymin": 0, "xmax": 160, "ymax": 4},
        {"xmin": 156, "ymin": 116, "xmax": 160, "ymax": 120},
        {"xmin": 0, "ymin": 116, "xmax": 4, "ymax": 120},
    ],
)
def test_a_tag_lies_wholly_inside_the_picture(corner: dict[str, int]) -> None:
    middle = {"xmin": 80, "ymin": 60, "xmax": 84, "ymax": 64}
    assert tag_area(corner) >= tag_area(middle) - 30


def test_tags_of_one_place_do_not_hide_each_other() -> None:
    found = [{"label": name, "score": 0.9 - n / 10, "box": BOX} for n, name in enumerate(("cat", "dog"))]
    drawn = boxed(grey(200, 200), found)
    areas = [int(is_of(drawn, colour).sum()) for colour in palette(2)]
    assert min(areas) > 0.6 * max(areas)


def test_a_long_label_is_cut_where_the_picture_ends() -> None:
    box = {"xmin": 0, "ymin": 20, "xmax": 40, "ymax": 40}
    drawn = boxed(grey(60, 60), [{"label": "extraordinarily long " * 9, "score": 0.5, "box": box}])
    assert drawn.pixels.shape == (60, 60, 3)
    assert is_of(drawn, palette(1)[0]).sum() > 200


def test_run_lengths_are_cocos() -> None:
    parts = np.array([[0, 1, 1], [2, 1, 0]], np.int16)
    one, two, none = run_lengths(parts, [1, 2, 3])
    # Columns: (0, 2), (1, 1), (1, 0).
    assert one == {"size": [2, 3], "counts": [2, 3, 1]}
    assert two == {"size": [2, 3], "counts": [1, 1, 4]}
    assert none == {"size": [2, 3], "counts": [6]}
    whole = run_lengths(np.ones((2, 2), np.int16), [1])[0]
    assert whole == {"size": [2, 2], "counts": [0, 4]}


def test_run_lengths_lead_back_to_the_masks_and_their_boxes() -> None:
    parts = np.random.default_rng(0).integers(0, 4, (37, 23)).astype(np.int16)
    parts[:, 3:9] = 1
    for number, runs in zip((1, 2, 3), run_lengths(parts, [1, 2, 3]), strict=True):
        mask = parts == number
        assert np.array_equal(decoded(runs), mask)
        rows, columns = np.nonzero(mask)
        assert around(runs) == {
            "xmin": columns.min(),
            "ymin": rows.min(),
            "xmax": columns.max() + 1,
            "ymax": rows.max() + 1,
        }


def test_a_box_around_one_run_of_one_column() -> None:
    parts = np.zeros((6, 5), np.int16)
    parts[2:4, 3] = 1
    assert around(run_lengths(parts, [1])[0]) == {"xmin": 3, "ymin": 2, "xmax": 4, "ymax": 4}


def test_parts_get_their_colours_and_the_rest_stays() -> None:
    parts = np.zeros((300, 400), np.int16)
    parts[:, 200:] = 1
    drawn = tinted(grey(300, 400), parts, [(200, 0, 0)], {}).pixels
    assert (drawn[:, :199] == 100).all()
    assert drawn[5, 300].tolist() == [150, 50, 50]
    assert drawn[5, 200].max() < 100  # the edge


def test_a_legend_tells_the_colours_and_leaves_the_picture_its_size() -> None:
    parts = np.ones((300, 400), np.int16)
    drawn = tinted(grey(300, 400), parts, [(200, 0, 0)], {"sky": (200, 0, 0), "a tree": (0, 200, 0)})
    assert drawn.pixels.shape == (300, 400, 3)
    for colour in ((200, 0, 0), (0, 200, 0)):
        rows, columns = np.nonzero(is_of(drawn, colour))
        assert len(rows) > 20
        assert rows.min() > 150  # lower left
        assert columns.max() < 200


def test_a_legend_has_at_most_twelve_entries_and_none_on_a_tiny_picture() -> None:
    legend = dict(zip((f"thing {n}" for n in range(40)), palette(40), strict=True))
    drawn = tinted(grey(900, 900), np.zeros((900, 900), np.int16), [], legend)
    told = [bool(is_of(drawn, colour).sum() > 100) for colour in palette(40)]
    assert told == [True] * 12 + [False] * 28
    tiny = tinted(grey(20, 20), np.zeros((20, 20), np.int16), [], legend)
    assert (tiny.pixels == 100).all()


def test_a_mask_of_boxes_is_white_inside_them() -> None:
    mask = filled((120, 160), [BOX]).pixels
    assert mask.shape == (120, 160)
    assert mask.sum() == 255 * 40 * 50
    assert mask[30, 20] == mask[79, 59] == 255
