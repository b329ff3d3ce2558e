"""Vectors of texts, and how alike they are."""

import numpy as np
import pytest
import torch
import transformers

from deployments.errors import ExpertError, InputError
from deployments.runners.embedding import Embedder
from deployments.runners.pooling import pooled
from tests.support.neural import alike, ask, ask_all, model_card, opened, shared
from tests.support.tiny import Builder, text, tiny, vectors

TASKS = ("feature-extraction", "sentence-similarity")


def embedder(builder: Builder) -> Embedder:
    runner = shared("embedding", builder, *TASKS)
    assert isinstance(runner, Embedder)
    return runner


def states(builder: Builder, words: str) -> np.ndarray:
    """The last states of a text's tokens, by the library alone."""
    tokenizer = transformers.AutoTokenizer.from_pretrained(tiny(builder))
    model = transformers.AutoModel.from_pretrained(tiny(builder)).eval()
    with torch.inference_mode():
        found: np.ndarray = model(**tokenizer(words, return_tensors="pt")).last_hidden_state[0].numpy()
    return found


def test_a_vector_is_the_mean_of_the_states_where_nothing_else_is_told() -> None:
    result = ask(embedder(text.encoder), "feature-extraction", text="the cat sat")
    assert result.text == "a vector of 32 numbers"
    assert np.allclose(result.data, states(text.encoder, "the cat sat").mean(0), atol=1e-4)
    assert all(type(number) is float for number in result.data)


def dense() -> np.ndarray:
    """The weights behind the pooled states."""
    from safetensors.numpy import load_file

    found: np.ndarray = load_file(tiny(vectors.sentences) / "2_Dense" / "model.safetensors")["linear.weight"]
    return found


def test_the_files_of_sentence_transformers_are_kept_to() -> None:
    expected = dense() @ states(vectors.sentences, "question the cat sat")[0]
    result = ask(embedder(vectors.sentences), "feature-extraction", text="the cat sat")
    assert np.allclose(result.data, expected / np.linalg.norm(expected), atol=1e-4)


def test_texts_are_compared_behind_their_own_prompt() -> None:
    runner = embedder(vectors.sentences)
    found = ask(runner, "sentence-similarity", text1="the cat", text2="a dog").data["score"]
    swapped = ask(runner, "sentence-similarity", text1="a dog", text2="the cat").data["score"]
    assert found == pytest.approx(swapped, abs=1e-3)
    cat, dog = (dense() @ states(vectors.sentences, f"movie {words}")[0] for words in ("the cat", "a dog"))
    assert found == pytest.approx(cat @ dog / np.linalg.norm(cat) / np.linalg.norm(dog), abs=1e-3)


def test_the_last_token_is_the_vector_of_a_model_that_tells_so() -> None:
    result = ask_all(
        embedder(text.last_token), "feature-extraction", [{"text": "cat"}, {"text": "a dog sat"}]
    )
    for found, words in zip(result, ("cat", "a dog sat"), strict=True):
        assert np.allclose(found.data, states(text.last_token, words)[-1], atol=1e-4)


@pytest.mark.parametrize("builder", [text.encoder, vectors.sentences, text.last_token])
def test_eight_at_once_are_as_eight_alone(builder: Builder) -> None:
    several = [{"text": "the cat sat " * n} for n in range(1, 9)]
    batch = ask_all(embedder(builder), "feature-extraction", several)
    alone = [ask(embedder(builder), "feature-extraction", **args) for args in several]
    assert alike([result.data for result in batch], [result.data for result in alone])


def test_one_text_is_compared_with_several() -> None:
    runner = embedder(text.encoder)
    lines = ask(runner, "sentence-similarity", text1="the cat", text2="the cat\na dog sat on the mat")
    listed = ask(runner, "sentence-similarity", text1="the cat", text2='["the cat", "a dog sat on the mat"]')
    assert lines.data == listed.data
    assert lines.data["scores"][0] == pytest.approx(1, abs=1e-3)
    assert lines.data["scores"][1] < 0.99
    assert lines.text is not None
    assert lines.text.splitlines()[0] == "similarity 1.00: the cat"
    assert ask(runner, "sentence-similarity", text1="the cat", text2="the cat").text == "similarity 1.00"


def test_of_a_long_text_the_beginning_is_read() -> None:
    found = [
        ask(embedder(vectors.sentences), "feature-extraction", text="cat " * 20 + end).data
        for end in ("", "dog " * 50)
    ]
    assert found[0] == found[1]


def test_a_model_with_a_head_gives_vectors_too() -> None:
    for builder in (text.filler, text.modern_filler):
        result = ask(embedder(builder), "feature-extraction", text="the cat sat")
        assert len(result.data) == 32


def test_a_t5_is_read_by_its_encoder() -> None:
    tokens = shared("embedding", text.t5, "feature-extraction")
    assert len(ask(tokens, "feature-extraction", text="the cat").data) == 32


@pytest.mark.parametrize(
    ("name", "before"),
    [
        ("intfloat/multilingual-e5-small", "query: "),
        ("intfloat/e5-large-v2", "query: "),
        ("intfloat/multilingual-e5-large-instruct", ""),
        ("nomic-ai/nomic-embed-text-v1.5", "clustering: "),
    ],
)
def test_makers_words_stand_before_every_text(name: str, before: str) -> None:
    runner = Embedder()
    card = model_card("embedding", tiny(text.encoder), *TASKS)
    runner.load(card.model_copy(update={"id": name}), "cpu")
    plain = ask(embedder(text.encoder), "feature-extraction", text=f"{before}the cat").data
    assert alike(ask(runner, "feature-extraction", text="the cat").data, plain)


def test_every_way_of_pooling_leaves_padding_out() -> None:
    values = torch.tensor([[[1.0], [3.0], [99.0]], [[99.0], [5.0], [2.0]]])
    mask = torch.tensor([[1, 1, 0], [0, 1, 1]])
    expected = {
        "cls": [1, 5],
        "lasttoken": [3, 2],
        "max": [3, 5],
        "mean": [2, 3.5],
        "mean_sqrt_len_tokens": [4 / 2**0.5, 7 / 2**0.5],
        "weightedmean": [7 / 3, 3],
    }
    for mode, numbers in expected.items():
        assert pooled((mode,))(values, mask).ravel().tolist() == pytest.approx(numbers)
    assert pooled(("cls", "max"))(values, mask).tolist() == [[1, 3], [5, 5]]


def test_unknown_modules_and_empty_texts_are_refused() -> None:
    with pytest.raises(ExpertError, match="'Else', which is not known"):
        opened("embedding", vectors.alien, "feature-extraction")
    with pytest.raises(ExpertError, match="pools its states by blue"):
        pooled(("blue",))
    with pytest.raises(InputError, match="'text2'"):
        ask(embedder(text.encoder), "sentence-similarity", text1="the cat", text2=" \n ")
