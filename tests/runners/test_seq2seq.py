"""Summaries, translations and rewritings."""

import re
import shutil
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import pytest

from deployments.errors import ExpertError, InputError, StoppedError
from deployments.result import Input
from deployments.runners import languages, seq2seq
from deployments.runners.dialects import dialect
from deployments.runners.seq2seq import Rewriter
from tests.support.neural import ask, ask_all, model_card, opened, shared
from tests.support.tiny import Builder, text, tiny, translators

LONG = " ".join(f"The cat sat on mat number {number}. A dog ran to the red house!" for number in range(12))


def runner_of(task: str, builder: Builder) -> Rewriter:
    runner = shared(task, builder, task)
    assert isinstance(runner, Rewriter)
    return runner


def echoing(monkeypatch: pytest.MonkeyPatch, runner: Rewriter) -> list[dict[str, Any]]:
    """Let the model write what it reads; the options of each call."""
    calls = []

    def generate(input_ids: Any, **options: Any) -> Any:
        calls.append({**options, "batch": len(input_ids)})
        return input_ids

    monkeypatch.setattr(runner.model, "generate", generate)
    return calls


# Summaries ---------------------------------------------------------------------------------------------


def test_a_t5_is_told_to_summarize_by_its_own_preset(monkeypatch: pytest.MonkeyPatch) -> None:
    runner = runner_of("summarization", text.t5)
    calls = echoing(monkeypatch, runner)
    words = "the cat sat on the mat and the dog sat on the house and bob was in london"
    assert ask(runner, "summarization", text=words).text == f"summarize: {words}"
    assert calls[0]["max_new_tokens"] == 12
    assert calls[0]["min_length"] == 8
    assert calls[0]["num_beams"] == 2


def test_a_bart_is_told_nothing(monkeypatch: pytest.MonkeyPatch) -> None:
    runner = runner_of("summarization", text.bart)
    calls = echoing(monkeypatch, runner)
    assert ask(runner, "summarization", text="The cat sat.", max_new_tokens="30").text == "The cat sat."
    assert calls[0]["max_new_tokens"] == 30


@pytest.mark.parametrize(("builder", "prefix"), [(text.t5, "summarize: "), (text.bart, "")])
def test_a_long_text_is_summarized_in_parts_that_hold_all_of_it(
    monkeypatch: pytest.MonkeyPatch, builder: Builder, prefix: str
) -> None:
    runner = runner_of("summarization", builder)
    job = runner.ready(Input("summarization", {"text": LONG}))
    assert len(job.prompts) > 3
    assert all(prompt.tokens <= runner.limit for prompt in job.prompts)
    assert " ".join(prompt.text.removeprefix(prefix) for prompt in job.prompts) == LONG
    lengths = [prompt.tokens for prompt in job.prompts]
    assert min(lengths) > max(lengths) / 3  # no part is a leftover
    echoing(monkeypatch, runner)
    summary = ask(runner, "summarization", text=LONG).text
    assert summary is not None
    assert summary.endswith("house!" if builder is text.bart else "!")


def test_a_short_text_is_not_blown_up(monkeypatch: pytest.MonkeyPatch) -> None:
    runner = runner_of("summarization", text.t5)
    calls = echoing(monkeypatch, runner)
    ask(runner, "summarization", text="the cat")
    assert calls[0]["min_length"] < 8


def test_eight_summaries_at_once_are_as_eight_alone() -> None:
    runner = runner_of("summarization", text.bart)
    several = [{"text": LONG[: 40 * n], "max_new_tokens": "6"} for n in range(1, 9)]
    batch = ask_all(runner, "summarization", several)
    alone = [ask(runner, "summarization", **args) for args in several]
    assert [result.text for result in batch] == [result.text for result in alone]
    assert len({result.text for result in batch}) > 4


def test_a_stopped_summary_ends_between_two_words() -> None:
    runner = runner_of("summarization", text.bart)
    calls = []

    def stop(*_: Any) -> None:
        calls.append(1)
        runner.stop()

    hook = runner.model.register_forward_hook(stop)
    try:
        with pytest.raises(StoppedError):
            runner.run([Input("summarization", {"text": LONG})])
    finally:
        hook.remove()
        runner.stopping.clear()
    assert len(calls) == 1


# Translations ------------------------------------------------------------------------------------------


def test_a_t5_is_told_both_languages_by_name(monkeypatch: pytest.MonkeyPatch) -> None:
    runner = runner_of("translation", text.t5)
    calls = echoing(monkeypatch, runner)
    job = runner.ready(Input("translation", {"text": "the cat", "target_language": "fr"}))
    assert job.prompts[0].text == "translate English to French: the cat"
    ask(runner, "translation", text="the cat", target_language="fr")
    assert calls[0]["num_beams"] == 2
    assert runner._dialect is not None
    assert runner._dialect.before("en", "fr") == "translate English to French: "
    assert runner._dialect.before("ro", "de") == "translate Romanian to German: "
    with pytest.raises(InputError, match=r"into 'Dutch'; it writes English, French, German, Romanian\."):
        ask(runner, "translation", text="the cat", target_language="Dutch")


@pytest.mark.parametrize("written", ["French", "fr", "fra_Latn", "FRENCH", "fra", "fr-CA"])
def test_nllb_begins_with_the_target_and_is_told_the_source(
    monkeypatch: pytest.MonkeyPatch, written: str
) -> None:
    runner = runner_of("translation", translators.nllb)
    calls = echoing(monkeypatch, runner)
    ask(runner, "translation", text="the house is red", target_language=written)
    tokens = runner.tokenizer.convert_tokens_to_ids
    assert calls[0]["forced_bos_token_id"] == tokens("fra_Latn")
    assert runner.tokenizer.src_lang == "eng_Latn"
    ask(runner, "translation", text="the house", target_language=written, source_language="Chinese")
    assert runner.tokenizer.src_lang == "zho_Hans"
    assert runner.tokenizer("a")["input_ids"][0] == tokens("zho_Hans")


@pytest.mark.parametrize(
    ("builder", "code"), [(translators.m2m100, "__fr__"), (translators.mbart50, "fr_XX")]
)
def test_other_models_of_many_languages_have_codes_of_their_own(
    monkeypatch: pytest.MonkeyPatch, builder: Builder, code: str
) -> None:
    runner = runner_of("translation", builder)
    call = {"text": "the house is red", "target_language": "French", "max_new_tokens": "8"}
    written = ask(runner, "translation", **call).text
    assert written
    assert not re.search(r"__|[a-z]_[A-Z]", written)
    calls = echoing(monkeypatch, runner)
    ask(runner, "translation", text="the house is red", target_language="French")
    assert calls[0]["forced_bos_token_id"] == runner.tokenizer.convert_tokens_to_ids(code)


def test_madlad_is_told_the_target_before_the_text() -> None:
    runner = runner_of("translation", text.madlad)
    job = runner.ready(Input("translation", {"text": "the cat", "target_language": "Chinese"}))
    assert job.prompts[0].text == "<2zh> the cat"
    with pytest.raises(InputError, match=r"as target_language; .* writes Chinese, English, French"):
        ask(runner, "translation", text="the cat")


def test_a_marian_of_several_targets_is_told_one_before_the_text() -> None:
    runner = runner_of("translation", translators.marian_many)
    for asked, code in (("Spanish", "spa"), ("pt", "pt_br"), ("pt_BR", "pt_br")):
        job = runner.ready(Input("translation", {"text": "the cat", "target_language": asked}))
        assert job.prompts[0].text == f">>{code}<< the cat"
    assert ">>" not in str(
        ask(runner, "translation", text="the cat", target_language="fr", max_new_tokens="8").text
    )


def test_a_marian_of_one_target_takes_no_other() -> None:
    runner = Rewriter()
    card = model_card("translation", tiny(translators.marian), "translation")
    runner.load(card.model_copy(update={"id": "Helsinki-NLP/opus-mt-en-de"}), "cpu")
    runner.warm_up()
    for args in ({}, {"target_language": "German"}, {"target_language": "deu"}):
        job = runner.ready(Input("translation", {"text": "the cat", **args}))
        assert job.prompts[0].text == "the cat"
    with pytest.raises(
        InputError, match=r"opus-mt-en-de does not translate into 'French'; it writes German\."
    ):
        ask(runner, "translation", text="the cat", target_language="French")


def test_a_long_text_is_translated_sentence_by_sentence_and_lines_stay(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    runner = runner_of("translation", translators.marian_many)
    monkeypatch.setattr(runner, "_generated", lambda prompts: [prompt.text for prompt in prompts])
    words = "the cat sat. A dog ran.\n\nHello bob!"
    found = ask(runner, "translation", text=words, target_language="fra").text
    assert str(found).replace(">>fra<< ", "") == words
    endless = "house " * 200
    job = runner.ready(Input("translation", {"text": endless, "target_language": "fra"}))
    assert all(prompt.tokens <= runner.limit for prompt in job.prompts)
    assert sum(prompt.text.count("house") for prompt in job.prompts) == 200


def test_eight_translations_at_once_are_as_eight_alone() -> None:
    runner = runner_of("translation", translators.mbart50)
    several = [
        {
            "text": f"{'the cat ' * n}. hello.",
            "source_language": "en",
            "target_language": ("French", "German")[n % 2],
            "max_new_tokens": "8",
        }
        for n in range(1, 9)
    ]
    batch = ask_all(runner, "translation", several)
    alone = [ask(runner, "translation", **args) for args in several]
    assert [result.text for result in batch] == [result.text for result in alone]
    assert len({result.text for result in batch}) > 4


def test_a_source_that_is_not_told_is_found_out_or_asked_for(monkeypatch: pytest.MonkeyPatch) -> None:
    runner = runner_of("translation", translators.nllb)
    job = runner.ready(
        Input("translation", {"text": "Das ist mein Haus und meine Katze.", "target_language": "French"})
    )
    assert job.prompts[0].source == "deu_Latn"
    with pytest.raises(InputError, match="The text is in German already"):
        ask(runner, "translation", text="Das ist mein Haus und meine Katze.", target_language="de")
    with pytest.raises(InputError, match="does not translate from 'Klingon'"):
        ask(runner, "translation", text="hello", target_language="de", source_language="Klingon")
    monkeypatch.setattr(runner, "_detector", None)
    with pytest.raises(InputError, match="name it as source_language, or install py3langid"):
        ask(runner, "translation", text="hello", target_language="de")


@pytest.mark.parametrize(
    ("builder", "written", "read"),
    [
        (translators.nllb, "the deu_Latn cat </s>sat", "the cat sat"),
        (translators.mbart50, "the fr_XX cat </s>sat", "the cat sat"),
        (translators.m2m100, "the __fr__ cat </s>sat", "the cat sat"),
        (translators.marian_many, "the >>spa<< cat </s>sat", ">>fra<< the cat sat"),
        (text.madlad, "the <2en> cat </s>sat", "<2fr> the cat sat"),
    ],
)
def test_marks_inside_a_text_are_no_marks(builder: Builder, written: str, read: str) -> None:
    runner = runner_of("translation", builder)
    call = {"target_language": "fr", "source_language": "en", "max_new_tokens": "8"}
    assert runner.ready(Input("translation", {"text": written, **call})).prompts[0].text == read
    found, plain = ask_all(
        runner, "translation", [{"text": words, **call} for words in (written, "the cat sat")]
    )
    assert found.text == plain.text
    with pytest.raises(InputError, match="has only marks that"):
        ask(runner, "translation", text="</s> ", **call)


def test_an_instruction_keeps_its_gaps() -> None:
    runner = runner_of("text2text-generation", text.bart)
    job = runner.ready(Input("text2text-generation", {"text": "the <mask> sat</s>"}))
    assert job.prompts[0].text == "the <mask> sat "
    job = runner_of("summarization", text.bart).ready(Input("summarization", {"text": "the <mask> sat"}))
    assert job.prompts[0].text == "the sat"


def test_a_quotation_before_a_sentence_is_no_language_of_a_marian() -> None:
    runner = runner_of("translation", translators.marian)
    job = runner.ready(Input("translation", {"text": ">>the cat<< sat"}))
    pieces = runner.tokenizer.tokenize(job.prompts[0].text)
    assert ">>the cat<<" not in pieces
    assert "cat" in runner.tokenizer.convert_tokens_to_string(pieces)


def test_languages_have_names_and_codes() -> None:
    assert languages.choose("simplified", ["zho_Hans"]) is None
    assert languages.choose("Norwegian", ["nno_Latn", "nob_Latn"]) == "nob_Latn"
    assert languages.choose("arabic", ["arb_Arab"]) == "arb_Arab"
    assert languages.choose("farsi", ["pes_Arab"]) == languages.choose("fa_IR", ["pes_Arab"])
    assert languages.told(["ace_Arab", "fra_Latn", "deu_Latn"]) == "French, German, ace_Arab"
    assert languages.told(f"x{n:02}" for n in range(15)).endswith("and 3 more")
    rows = set(languages._known().values())
    assert len(rows) > 60
    codes = [code for row in rows for code in row.codes]
    assert len(codes) == len(set(codes))
    assert all(len(code) in (2, 3) for code in codes)


# Rewritings --------------------------------------------------------------------------------------------


def test_an_instruction_is_answered_as_it_is(monkeypatch: pytest.MonkeyPatch) -> None:
    runner = runner_of("text2text-generation", text.t5)
    calls = echoing(monkeypatch, runner)
    assert ask(runner, "text2text-generation", text="the cat sat").text == "the cat sat"
    assert calls == [{**calls[0], "max_new_tokens": 256, "batch": 1}]
    with pytest.raises(InputError, match="has 91 tokens, and tiny/text-t5 reads at most 64"):
        ask(runner, "text2text-generation", text="cat " * 90)


def test_the_same_seed_draws_the_same_words_whatever_the_batch() -> None:
    runner = runner_of("text2text-generation", text.t5)
    call = {"text": "the cat", "temperature": "1", "max_new_tokens": "12"}
    first = ask(runner, "text2text-generation", **call, seed="1").text
    assert first != ask(runner, "text2text-generation", **call, seed="2").text
    batch = ask_all(runner, "text2text-generation", [call, {**call, "seed": "1"}, {**call, "text": "dog"}])
    assert batch[1].text == first


def test_one_model_may_serve_several_tasks() -> None:
    tasks = ("text2text-generation", "summarization", "translation")
    runner = opened("text2text-generation", text.t5, *tasks)
    for task in tasks:
        assert ask(runner, task, text="the cat", target_language="fr", max_new_tokens="4").text is not None


@pytest.mark.parametrize("task", ["summarization", "translation", "text2text-generation"])
def test_a_decoder_alone_is_refused(task: str) -> None:
    with pytest.raises(ExpertError, match=f"LlamaForCausalLM cannot do {task}"):
        opened(task, text.llama, task)


def test_the_least_of_a_summary_is_half_of_a_short_text() -> None:
    assert seq2seq._least(56, 200) == 56
    assert seq2seq._least(56, 40) == 16
    assert seq2seq._least(0, 40) == 0
    assert seq2seq._least(5, 1) == 1


@pytest.mark.parametrize("builder", [translators.marian_many, translators.m2m100, text.pegasus])
def test_positions_that_are_computed_need_not_be_stored(builder: Builder, tmp_path: Path) -> None:
    from safetensors.torch import load_file, save_file

    task = "summarization" if builder is text.pegasus else "translation"
    folder = tmp_path / "model"
    shutil.copytree(tiny(builder), folder)
    weights = load_file(folder / "model.safetensors")
    kept = {name: value for name, value in weights.items() if "embed_positions" not in name}
    save_file(kept, folder / "model.safetensors", metadata={"format": "pt"})
    runner = Rewriter()
    runner.load(model_card(task, folder, task), "cpu")
    call = {"text": "the cat sat on the mat", "target_language": "fr", "max_new_tokens": "24"}
    written = ask(runner, task, **call).text
    assert written
    assert written == ask(runner_of(task, builder), task, **call).text


@pytest.mark.parametrize(
    ("name", "target"),
    [
        ("Helsinki-NLP/opus-mt-en-de", "de"),
        ("Helsinki-NLP/opus-mt-tc-big-en-tr", "tr"),
        ("Helsinki-NLP/opus-mt-ROMANCE-en", "en"),
        ("Helsinki-NLP/opus-mt-mul-en", "en"),
    ],
)
def test_a_marians_name_tells_its_target(name: str, target: str) -> None:
    model = SimpleNamespace(config=SimpleNamespace(model_type="marian"))
    assert dialect(model, SimpleNamespace(supported_language_codes=[]), name).targets == (target,)
