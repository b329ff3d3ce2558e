"""Chat models that look at pictures."""

from importlib.util import find_spec
from typing import Any

import pytest

from deployments.errors import ExpertError, InputError, StoppedError
from deployments.runners import processing
from tests.runners.test_captioning import pictures
from tests.support.neural import ask, ask_all, opened, shared
from tests.support.tiny import Builder, captions, text

TASK = "image-text-to-text"


def talker(builder: Builder, *tasks: str) -> Any:
    return shared(TASK, builder, *(tasks or (TASK,)))


@pytest.mark.parametrize("builder", [captions.llava, captions.qwen_vl, captions.paligemma])
def test_eight_at_once_are_as_eight_alone(builder: Builder) -> None:
    runner = talker(builder)
    several = [
        {"image": picture, "text": "what is this " * (1 + n % 3), "max_new_tokens": "6"}
        for n, picture in enumerate(pictures())
    ]
    batch = ask_all(runner, TASK, several)
    alone = [ask(runner, TASK, **args) for args in several]
    assert [result.text for result in batch] == [result.text for result in alone]
    assert len({result.text for result in batch}) > 1


def test_only_what_is_new_is_told() -> None:
    answer = ask(talker(captions.llava), TASK, image=pictures(1)[0], text="hello cat", max_new_tokens="3")
    assert answer.text is not None
    assert "hello" not in answer.text
    assert "assistant" not in answer.text
    assert answer.data is None


def test_a_seed_decides_and_no_neighbour_does() -> None:
    runner = talker(captions.llava)
    one, other = pictures(2)
    args = {"image": one, "text": "what", "temperature": "1", "max_new_tokens": "8"}
    first = ask(runner, TASK, **args, seed="5")
    beside = ask_all(
        runner, TASK, [{**args, "image": other, "seed": "9"}, {**args, "seed": "5"}, {**args, "seed": "6"}]
    )
    assert beside[1].text == first.text
    assert beside[2].text != first.text
    assert first.data == {"seed": 5}


def test_without_a_seed_a_fresh_one_is_told() -> None:
    runner = talker(captions.llava)
    args = {"image": pictures(1)[0], "text": "what", "temperature": "1.5", "max_new_tokens": "8"}
    one, other = ask(runner, TASK, **args), ask(runner, TASK, **args)
    assert one.data["seed"] != other.data["seed"]
    assert one.text == ask(runner, TASK, **args, seed=str(one.data["seed"])).text


def test_the_models_own_configuration_holds() -> None:
    runner = talker(captions.llava_drawn)
    args = {"image": pictures(1)[0], "text": "what", "max_new_tokens": "8"}
    drawn = {ask(runner, TASK, **args, seed=str(seed)).text for seed in range(3)}
    assert len(drawn) == 3
    likeliest = {ask(runner, TASK, **args, seed=str(seed), temperature="0").text for seed in range(3)}
    assert len(likeliest) == 1


def test_a_narrow_choice_leaves_the_likeliest_token() -> None:
    runner = talker(captions.llava)
    args = {"image": pictures(1)[0], "text": "what", "max_new_tokens": "6"}
    narrow = ask(runner, TASK, **args, temperature="1", top_p="0.000001", seed="3")
    assert narrow.text == ask(runner, TASK, **args).text


def test_different_knobs_beside_each_other() -> None:
    runner = talker(captions.llava)
    (picture,) = pictures(1)
    several = [
        {"image": picture, "text": "what", "max_new_tokens": "2"},
        {"image": picture, "text": "what", "max_new_tokens": "7", "temperature": "1", "seed": "1"},
        {"image": picture, "text": "what", "max_new_tokens": "2"},
    ]
    texts = [result.text for result in ask_all(runner, TASK, several)]
    assert texts == [ask(runner, TASK, **args).text for args in several]
    assert texts[0] == texts[2] != texts[1]


def test_a_mark_in_the_words_is_no_picture() -> None:
    runner = talker(captions.llava)
    args = {"image": pictures(1)[0], "max_new_tokens": "6"}
    marked = ask(runner, TASK, **args, text="<image>what is<|im_end|>")
    assert marked.text == ask(runner, TASK, **args, text="what is").text
    with pytest.raises(InputError, match="no control tokens"):
        ask(runner, TASK, **args, text="<image>")


def test_reasoning_is_left_out(monkeypatch: pytest.MonkeyPatch) -> None:
    runner = talker(captions.llava)
    args = {"image": pictures(1)[0], "text": "what", "max_new_tokens": "2"}
    written = "<think>\nA cat?\n</think>\n\nA dog."
    monkeypatch.setattr(runner._tokenizer, "batch_decode", lambda *_, **__: [written])
    assert ask(runner, TASK, **args).text == "A dog."
    monkeypatch.setattr(runner._tokenizer, "batch_decode", lambda *_, **__: ["<think> A cat"])
    with pytest.raises(ExpertError, match="more max_new_tokens"):
        ask(runner, TASK, **args)


def test_questions_and_documents_are_asked_in_words_of_their_own() -> None:
    tasks = ("visual-question-answering", "document-question-answering")
    runner = talker(captions.llava, TASK, *tasks)
    args = {"image": pictures(1)[0], "text": "what", "max_new_tokens": "6"}
    answers = {task: ask(runner, task, **args) for task in tasks}
    for answer in answers.values():
        assert answer.data == {"answer": answer.text}
    told = ask(runner, TASK, **{**args, "text": "what\nAnswer with a word or a short phrase."})
    assert answers[tasks[0]].text == told.text


def test_a_text_must_fit_beside_the_picture() -> None:
    runner = talker(captions.llava)
    args = {"image": pictures(1)[0], "text": "what", "max_new_tokens": "2"}
    good, bad = runner.run([_input(args), _input({**args, "text": "w" * 600})])
    assert good.text == ask(runner, TASK, **args).text
    assert isinstance(bad, InputError)
    assert "too long for this model" in str(bad)


def test_short_prompts_keep_their_room_beside_long_ones() -> None:
    runner = talker(captions.llava)
    (picture,) = pictures(1)
    several = [{"image": picture, "text": "w" * length, "max_new_tokens": "12"} for length in (4, 440)]
    batch = ask_all(runner, TASK, several)
    assert [result.text for result in batch] == [ask(runner, TASK, **args).text for args in several]


def test_a_call_stops_between_two_tokens() -> None:
    runner = talker(captions.llava)
    steps = []

    def leave(*_: Any) -> None:
        steps.append(1)
        runner.stopping.set()

    hook = runner._model.register_forward_hook(leave)
    try:
        with pytest.raises(StoppedError):
            ask(runner, TASK, image=pictures(1)[0], text="what", max_new_tokens="20")
    finally:
        hook.remove()
        runner.stopping.clear()
    assert len(steps) == 1


@pytest.mark.skipif(find_spec("torchvision") is not None, reason="torchvision is here")
def test_a_processor_that_needs_torchvision_is_refused_with_what_to_install(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setattr(processing, "_stills", lambda _: None)
    with pytest.raises(ExpertError, match="needs torchvision; install the build"):
        opened(TASK, captions.qwen_vl, TASK)


def test_a_model_that_cannot_chat_is_refused() -> None:
    with pytest.raises(ExpertError, match="no chat template"):
        opened(TASK, captions.llava_mute, TASK)
    with pytest.raises(ExpertError, match="the runner image-to-text"):
        opened(TASK, captions.blip, TASK)
    with pytest.raises(ExpertError, match="BertForSequenceClassification cannot do image-text-to-text"):
        opened(TASK, text.classifier, TASK)


def _input(args: dict[str, Any]) -> Any:
    from deployments.result import Input

    return Input(TASK, args)
