"""Descriptions of pictures, and the text in them."""

import json
from pathlib import Path
from shutil import copytree
from typing import Any

import numpy as np
import pytest

from deployments.errors import ExpertError, InputError, StoppedError
from deployments.media import Image
from deployments.runners.sight import view
from tests.support.neural import ask, ask_all, opened, shared
from tests.support.tiny import Builder, captions, text, tiny

TASK = "image-to-text"


def pictures(count: int = 8) -> list[Image]:
    """Pictures that differ in size and colours."""
    draw = np.random.default_rng(7)
    shapes = [(2 + n % 3, 2 + n % 2, 3) for n in range(count)]
    fields = [draw.integers(0, 256, shape, dtype=np.uint8) for shape in shapes]
    return [Image(np.kron(field, np.ones((20, 24, 1), np.uint8))) for field in fields]


def captioner(builder: Builder, yields: str = "caption") -> Any:
    return shared(TASK, builder, TASK, yields=yields)


@pytest.mark.parametrize(
    "builder", [captions.blip, captions.blip2, captions.git, captions.vit_gpt2, captions.trocr]
)
def test_eight_at_once_are_as_eight_alone(builder: Builder) -> None:
    runner = captioner(builder)
    several = [{"image": picture, "max_new_tokens": "8"} for picture in pictures()]
    batch = ask_all(runner, TASK, several)
    alone = [ask(runner, TASK, **args) for args in several]
    assert [result.text for result in batch] == [result.text for result in alone]
    assert len({result.text for result in batch}) > 1  # of different pictures


def test_the_data_tell_what_the_text_is() -> None:
    caption = ask(captioner(captions.blip), TASK, image=pictures(1)[0])
    assert caption.text
    assert caption.data == {"caption": caption.text}
    read = ask(captioner(captions.trocr, "ocr"), TASK, image=pictures(1)[0], max_new_tokens="4")
    assert read.text
    assert read.data == {"text": read.text}


def test_as_many_tokens_as_asked_for() -> None:
    runner = captioner(captions.blip2)
    (picture,) = pictures(1)
    short = ask(runner, TASK, image=picture, max_new_tokens="2").text
    long = ask(runner, TASK, image=picture, max_new_tokens="12").text
    assert short is not None
    assert long is not None
    assert len(long) > len(short)
    with pytest.raises(InputError, match="max_new_tokens must be a number from 1"):
        ask(runner, TASK, image=picture, max_new_tokens="0")


def test_pictures_of_every_shape_are_taken() -> None:
    runner = captioner(captions.git)
    draw = np.random.default_rng(1)
    grey = draw.integers(0, 255, (50, 40), dtype=np.uint8)
    clear = np.dstack([np.zeros((50, 40, 3), np.uint8), np.zeros((50, 40), np.uint8)])
    dot = np.full((1, 3, 3), 90, np.uint8)
    grey_colour = np.repeat(grey[:, :, None], 3, axis=2)
    white = np.full((50, 40, 3), 255, np.uint8)
    several = [{"image": Image(pixels)} for pixels in (grey, clear, dot, grey_colour, white)]
    grey_text, clear_text, _, grey_again, white_text = (r.text for r in ask_all(runner, TASK, several))
    assert grey_text == grey_again
    assert clear_text == white_text


def test_a_picture_is_looked_at_in_four_million_pixels_at_most() -> None:
    large = view(Image(np.zeros((3000, 6000, 3), np.uint8)))
    assert 2**22 - 6000 < large.width * large.height <= 2**22
    assert large.width == pytest.approx(2 * large.height, abs=2)
    assert view(Image(np.zeros((40, 60, 3), np.uint8))).size == (60, 40)


def test_a_line_is_no_picture() -> None:
    with pytest.raises(InputError, match="1 × 500 pixels is too thin"):
        ask(captioner(captions.git), TASK, image=Image(np.zeros((500, 1, 3), np.uint8)))
    with pytest.raises(InputError, match="needs a picture"):
        ask(captioner(captions.git), TASK)


def test_japanese_is_read_without_a_dictionary_and_blanks() -> None:
    read = ask(captioner(captions.manga, "ocr"), TASK, image=pictures(1)[0], max_new_tokens="12")
    assert read.text
    assert len(read.text) > 4
    assert all("\u3042" <= letter <= "\u306a" for letter in read.text)


def test_a_decoder_begins_as_its_own_configuration_tells() -> None:
    runner = captioner(captions.trocr)
    assert runner._model.generation_config.decoder_start_token_id == 2


def test_a_card_may_begin_the_text() -> None:
    runner = opened(TASK, captions.blip, TASK, defaults={"prompt": "a red"})
    answer = ask(runner, TASK, image=pictures(1)[0], max_new_tokens="8")
    assert answer.text is not None
    assert answer.text.startswith("a red")


def early_blip2(folder: Path) -> None:
    """A BLIP-2 from before the picture had a token of its own."""
    copytree(tiny(captions.blip2), folder, dirs_exist_ok=True)
    for file, name in (("config.json", "image_token_index"), ("processor_config.json", "num_query_tokens")):
        written = json.loads((folder / file).read_text("utf-8"))
        assert written.pop(name) is not None
        (folder / file).write_text(json.dumps(written), "utf-8")


def test_an_early_checkpoint_of_blip2_says_what_a_later_one_does() -> None:
    (picture,) = pictures(1)
    later = ask(captioner(captions.blip2), TASK, image=picture, max_new_tokens="8")
    early = ask(captioner(early_blip2), TASK, image=picture, max_new_tokens="8")
    assert early.text == later.text


def test_a_chat_model_is_asked_to_describe_or_to_read() -> None:
    (picture,) = pictures(1)
    talker = shared("image-text-to-text", captions.llava, "image-text-to-text")
    for yields, words in (
        ("caption", "Describe this picture in one or two sentences."),
        ("ocr", "Write down all text in this picture, exactly as it stands."),
    ):
        answer = ask(captioner(captions.llava, yields), TASK, image=picture, max_new_tokens="8")
        told = ask(talker, "image-text-to-text", image=picture, text=words, max_new_tokens="8")
        assert answer.text == told.text
        assert answer.data == {"caption" if yields == "caption" else "text": answer.text}


def test_a_model_that_answers_questions_is_refused_with_its_leftover_weights() -> None:
    with pytest.raises(ExpertError, match=r"do not fit BlipForConditionalGeneration .*text_encoder"):
        opened(TASK, captions.blip_answers, TASK)


def test_a_model_of_words_alone_is_refused() -> None:
    with pytest.raises(ExpertError, match="BertForSequenceClassification cannot do image-to-text"):
        opened(TASK, text.classifier, TASK)


@pytest.mark.parametrize("builder", [captions.blip, captions.blip2, captions.vit_gpt2])
def test_a_call_stops_between_two_tokens(builder: Builder) -> None:
    runner = captioner(builder)
    writer = next(
        part
        for name in ("text_decoder", "language_model", "decoder")
        if (part := getattr(runner._model, name, None)) is not None
    )
    steps = []

    def leave(*_: Any) -> None:
        steps.append(1)
        runner.stopping.set()

    hook = writer.register_forward_hook(leave)
    try:
        with pytest.raises(StoppedError):
            ask(runner, TASK, image=pictures(1)[0], max_new_tokens="20")
    finally:
        hook.remove()
        runner.stopping.clear()
    assert len(steps) == 1
