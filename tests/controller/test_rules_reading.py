"""Reading: files, quoted texts, sentences; and the cost of hostile requests."""

import time

import pytest

from controller.rules.mentions import Mention, find_mentions, modality_of
from controller.rules.planner import plan_text
from controller.rules.reading import is_question, read
from controller.rules.vocabulary import vocabularies
from model_catalog.tasks import Modality

HEX = "0a" * 16


def _values(text: str) -> list[tuple[str, str]]:
    return [(mention.modality.value, mention.value) for mention in find_mentions(text)]


@pytest.mark.parametrize(
    ("name", "modality"),
    [
        ("/examples/sign.png", Modality.IMAGE),
        ("photo.JPEG", Modality.IMAGE),
        (f"http://127.0.0.1:8000/audios/{HEX}.wav", Modality.AUDIO),
        ("https://example.com/a.mp4?size=3#t", Modality.VIDEO),
        ("https://example.com/report.csv", Modality.TABLE),
        ("notes.txt", Modality.TEXT),
        ("https://example.com/page", None),
        ("https://example.com/?file=a.png", None),
        (".png", None),
        ("/folder/.png", None),
        ("example.unknown", None),
        ("word", None),
        ("", None),
    ],
)
def test_endings_tell_what_a_file_holds(name: str, modality: Modality | None) -> None:
    assert modality_of(name) is modality


@pytest.mark.parametrize(
    ("text", "values"),
    [
        ("see /examples/sign.png.", [("image", "/examples/sign.png")]),
        ("see (example.jpg), please", [("image", "example.jpg")]),
        ("see 'example.jpg' and \"b c.wav\"", [("image", "example.jpg"), ("audio", "b c.wav")]),
        ("a.png,b.png;c.png", [("image", "a.png"), ("image", "b.png"), ("image", "c.png")]),
        ("see http://x.y/a,b.png", [("image", "http://x.y/a,b.png")]),
        ("a.png, b.png; c.png!", [("image", "a.png"), ("image", "b.png"), ("image", "c.png")]),
        ("Pictures: **a.png**", [("image", "a.png")]),
        ("say 'hello'", [("text", "hello")]),
        ('say "it\'s me"', [("text", "it's me")]),
        ("say 'What's new?' twice", [("text", "What's new?")]),
        ("say “hi”, ‘ho’, «ha», „hu“ and `he`", [("text", word) for word in ("hi", "ho", "ha", "hu", "he")]),
        ("don't say the dogs' names", []),
        ("rock 'n roll", []),
        ("an empty '' quote and ' spaced '", []),
        ("'first' and 'second'", [("text", "first"), ("text", "second")]),
        ("an 'unclosed quote with a.png", [("image", "a.png")]),
    ],
)
def test_mentions_are_found(text: str, values: list[tuple[str, str]]) -> None:
    assert _values(text) == values


def test_a_mention_tells_where_it_stands() -> None:
    text = "read 'hello' in /a/b.png, now"
    quote, file = find_mentions(text)
    assert text[quote.start : quote.end] == "'hello'"
    assert text[file.start : file.end] == "/a/b.png"
    assert file == Mention("/a/b.png", Modality.IMAGE, 16, 24, file=True)


def test_a_url_that_tells_nothing_takes_its_kind_from_the_words_before_it() -> None:
    assert [m.modality for m in read("describe the image at https://example.com/1").mentions] == [
        Modality.IMAGE
    ]
    assert [m.modality for m in read("transcribe this recording https://example.com/1").mentions] == [
        Modality.AUDIO
    ]
    assert [m.modality for m in read("open https://example.com/1").mentions] == [Modality.TEXT]


def _sentences(text: str) -> list[str]:
    return [" ".join(sentence.words) for sentence in read(text).sentences]


@pytest.mark.parametrize(
    ("text", "sentences"),
    [
        ("Draw it. Read it!", ["draw it .", "read it !"]),
        ("Draw it; read it", ["draw it ;", "read it"]),
        ("Draw it\nread it", ["draw it", "read it"]),
        ("Draw it, then read it", ["draw it ,", "then read it"]),
        ("It costs 3.5 now", ["it costs 3 . 5 now"]),
        ("text-to-speech - now", ["text to speech - now"]),
        ("Is it 'Fine!' And now?", ["is it <text>", "and now ?"]),
        ("Is it 'Fine!' or not", ["is it <text> or not"]),
        ("What is in a.png?!", ["what is in <image> ? !"]),
        ("Don’t", ["don't"]),
        ("", []),
    ],
)
def test_sentences(text: str, sentences: list[str]) -> None:
    assert _sentences(text) == sentences


def test_clauses_open_behind_joints_and_small_talk() -> None:
    (sentence,) = read("please tell me now, and could you read it").sentences
    words = [sentence.words[place] for place in sorted(sentence.openings)]
    assert words == ["please", "tell", "and", "could", "you", "read"]


def test_a_relative_clause_opens_no_question() -> None:
    (sentence,) = read("take talk.wav, where a man speaks").sentences
    assert sentence.words.index("where") not in sentence.openings
    (sentence,) = read("in a.png, where is the man?").sentences
    assert sentence.words.index("where") in sentence.openings


def test_a_text_after_a_colon_is_a_mention() -> None:
    (mention,) = read("Summarize this text: The cat sat. It slept. Then read it aloud").mentions
    assert mention.value == "The cat sat. It slept."


@pytest.mark.parametrize(
    "text", ["Note this: a.png", "Here is my text: 'quoted'", "At 12:30 I read", "The text: x"]
)
def test_other_colons_bring_no_text(text: str) -> None:
    assert all(mention.file or mention.value == "quoted" for mention in read(text).mentions)


def test_a_slice_is_the_text_as_written() -> None:
    reading = read("Draw  a   Cat!")
    assert reading.slice(reading.sentences[0].tokens[1:3]) == "a   Cat"
    assert reading.slice([]) == ""


@pytest.mark.parametrize(
    ("text", "asks"), [("Who is it?", True), ("It rains?", True), ("It rains.", False), ("", False)]
)
def test_questions_are_told_apart(text: str, asks: bool) -> None:
    assert is_question(text, vocabularies()[0]) is asks


_HOSTILE = [
    "'", "' a", "„ “a ", "http://", "<GENERATED>-0 ", " ", "\n", ". ", ": ", "İ", "\x00", "read aloud ",
    "is ", "translate ", "edges ", "pose of a.png ",
    "Text: ", "text\n\n", "text: please read it\n", "classify ",
    "question 'what?' ", "tell me in french ", "make it red ", "how similar are they? ", "compare 'a' ",
    "using that pose draw ",
]  # fmt: skip


@pytest.mark.parametrize("piece", _HOSTILE)
def test_hostile_requests_cost_linear_time(piece: str) -> None:
    """Four times the words may cost some four times as much; a quadratic step would cost sixteen."""
    plan_text(piece)
    short, long = (min(_seconds((piece * size)[:size]) for _ in range(2)) for size in (8_000, 32_000))
    assert long < 10 * max(short, 0.01)


def _seconds(text: str) -> float:
    begun = time.thread_time()
    plan_text(text)
    return time.thread_time() - begun
