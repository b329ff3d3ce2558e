"""Text in pictures and edges of pictures."""

import numpy as np
import pytest

from deployments.errors import ExpertError
from deployments.media import Image
from deployments.runners.rapidocr import RapidOcr, in_reading_order
from tests.deployments.embedded import CARDS, answer, picture
from tests.deployments.samples import gradient


def test_the_sign_is_read_exactly() -> None:
    result = answer("rapidocr", image=picture("sign.png"))
    assert result.text == "HARBOUR FERRY\nLEAVES AT NOON"
    assert [line["text"] for line in result.data] == ["HARBOUR FERRY", "LEAVES AT NOON"]
    for line, (top, bottom) in zip(result.data, ((70, 180), (170, 270)), strict=True):
        assert 0.9 < line["score"] <= 1
        box = line["box"]
        assert 60 < box["xmin"] < box["xmax"] < 580
        assert top < box["ymin"] < box["ymax"] < bottom


def test_a_page_is_read_row_by_row() -> None:
    lines = (answer("rapidocr", image=picture("g.jpg")).text or "").splitlines()
    assert lines[:3] == ["GREEN MARKET", "Prices for Saturday", "Open from 8 to 14"]
    assert lines[3:6] == ["Fruit", "Weight", "Price"]
    assert [lines.index(word) for word in ("Apples", "2.40", "Pears", "3.10")] == [6, 8, 9, 11]


@pytest.mark.parametrize("shape", [(1, 1), (24, 40, 3), (3000, 12, 3), (10, 4000, 4)])
def test_a_picture_without_text_gives_an_empty_text(shape: tuple[int, ...]) -> None:
    result = answer("rapidocr", image=Image(np.full(shape, 200, np.uint8)))
    assert result.text == ""
    assert result.data == []


def test_text_is_read_on_transparent_and_grey_pictures() -> None:
    pixels = picture("sign.png").pixels
    glass = np.concatenate([pixels, np.full((*pixels.shape[:2], 1), 255, np.uint8)], axis=2)
    grey = pixels.mean(axis=2).astype(np.uint8)
    for value in (glass, grey):
        assert answer("rapidocr", image=Image(value)).text == "HARBOUR FERRY\nLEAVES AT NOON"


def test_lines_are_ordered_by_rows_then_from_left_to_right() -> None:
    places = {"a": (10, 5), "b": (100, 9), "c": (10, 40), "d": (60, 38), "e": (5, 80)}
    lines = [
        {"text": text, "box": {"xmin": x, "ymin": y, "xmax": x + 30, "ymax": y + 20}}
        for text, (x, y) in places.items()
    ]
    shuffled = [lines[index] for index in (3, 1, 4, 0, 2)]
    assert "".join(line["text"] for line in in_reading_order(shuffled)) == "abcde"
    assert in_reading_order([]) == []


def test_a_package_without_models_says_so(
    monkeypatch: pytest.MonkeyPatch, tmp_path_factory: pytest.TempPathFactory
) -> None:
    import rapidocr

    monkeypatch.setattr(rapidocr, "__file__", str(tmp_path_factory.mktemp("empty") / "__init__.py"))
    with pytest.raises(ExpertError, match="install it again"):
        RapidOcr().load(CARDS["rapidocr"], "cpu")


def test_edges_of_a_square_are_white_on_black() -> None:
    pixels = np.zeros((60, 80, 3), np.uint8)
    pixels[20:40, 30:60] = 255
    result = answer("canny", image=Image(pixels))
    assert result.image is not None
    edges = result.image.pixels
    assert edges.shape == (60, 80, 3)
    assert set(np.unique(edges)) == {0, 255}
    assert (edges == edges[:, :, :1]).all()
    rows, columns = np.nonzero(edges[:, :, 0])
    assert (rows.min(), rows.max()) == pytest.approx((20, 39), abs=1)
    assert (columns.min(), columns.max()) == pytest.approx((30, 59), abs=1)
    assert not edges[24:36, 34:56].any()
    assert len(rows) == pytest.approx(2 * (20 + 30), abs=12)


def test_a_smooth_picture_has_no_edges_and_a_drawing_has_many() -> None:
    flat = answer("canny", image=Image(gradient(100, 400))).image
    drawn = answer("canny", image=picture("f.jpg")).image
    assert flat is not None
    assert drawn is not None
    assert not flat.pixels.any()
    assert 0.01 < (drawn.pixels > 0).mean() < 0.2


def test_grey_and_transparent_pictures_have_edges_too() -> None:
    grey = np.zeros((40, 40), np.uint8)
    grey[10:30, 10:30] = 255
    glass = np.full((40, 40, 4), 0, np.uint8)
    glass[10:30, 10:30, 3] = 255
    for value in (grey, glass):
        result = answer("canny", image=Image(value)).image
        assert result is not None
        assert result.pixels[:, :, 0].any()
