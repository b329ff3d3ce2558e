"""The conversation before a message, as models that talk are given it."""

import json

import pytest

from deployments.errors import InputError
from deployments.result import Input
from deployments.runners.generation import Writer
from deployments.runners.history import chat_of, folded, transcript
from tests.support.neural import ask, shared
from tests.support.tiny import text

HISTORY = json.dumps(
    [
        {"role": "system", "content": "Rhyme."},
        {"role": "user", "content": "cat?"},
        {"role": "assistant", "content": "hat"},
    ]
)


def test_the_history_goes_before_the_text() -> None:
    chat = chat_of(Input("conversational", {"history": HISTORY}), "dog?")
    assert chat == [*json.loads(HISTORY), {"role": "user", "content": "dog?"}]
    assert chat_of(Input("conversational"), "dog?") == [{"role": "user", "content": "dog?"}]
    assert folded(chat)[0] == {"role": "user", "content": "Rhyme.\n\ncat?"}
    assert transcript(chat).endswith("User: cat?\n\nAssistant: hat\n\nUser: dog?\n\nAssistant:")


def test_turns_of_one_role_are_one_turn() -> None:
    said = json.dumps([{"role": "user", "content": "a"}, {"role": "user", "content": "b"}])
    assert chat_of(Input("conversational", {"history": said}), "c") == [
        {"role": "user", "content": "a\n\nb\n\nc"}
    ]


@pytest.mark.parametrize("said", ["x", "{}", '[{"role": "tool", "content": "x"}]', '[{"role": "user"}]'])
def test_a_history_that_is_none_is_refused(said: str) -> None:
    with pytest.raises(InputError, match="a list of messages"):
        chat_of(Input("conversational", {"history": said}), "c")


def test_a_chat_model_reads_the_whole_conversation_in_its_template() -> None:
    runner = shared("text-generation", text.chat, "text-generation", "conversational", "text2text-generation")
    assert isinstance(runner, Writer)
    prompt = runner.ready(Input("conversational", {"text": "dog?", "history": HISTORY}))
    assert runner.tokenizer.decode(prompt.ids) == (
        "<|im_start|>system\nRhyme.<|im_end|>\n<|im_start|>user\ncat?<|im_end|>\n"
        "<|im_start|>assistant\nhat<|im_end|>\n<|im_start|>user\ndog?<|im_end|>\n<|im_start|>assistant\n"
    )


def test_a_template_without_system_messages_has_them_in_the_users() -> None:
    runner = shared("text-generation", text.chat, "text-generation", "conversational", "text2text-generation")
    assert isinstance(runner, Writer)
    usual = runner.tokenizer.chat_template
    strict = "{% if messages[0]['role'] == 'system' %}{{ raise_exception('no system') }}{% endif %}"
    runner.tokenizer.chat_template = strict + usual
    try:
        prompt = runner.ready(Input("conversational", {"text": "dog?", "history": HISTORY}))
    finally:
        runner.tokenizer.chat_template = usual
    assert runner.tokenizer.decode(prompt.ids).startswith("<|im_start|>user\nRhyme.\n\ncat?<|im_end|>")


def test_a_model_without_a_template_goes_on_with_the_conversation() -> None:
    runner = shared(
        "text-generation", text.llama, "text-generation", "conversational", "text2text-generation"
    )
    said = {"text": "dog?", "history": HISTORY, "max_new_tokens": "4"}
    whole = ask(runner, "text-generation", **said).text
    assert whole is not None
    assert whole.startswith("Instructions: Rhyme.")
    assert whole.endswith(str(ask(runner, "conversational", **said).text))
