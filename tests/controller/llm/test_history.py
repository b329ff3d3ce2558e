"""History: what of a conversation an LLM is told, within a budget of tokens."""

import random
import time

import pytest

from controller.llm.history import FRAME, fitted, shortened, size, tokens
from controller.llm.paths import named, own_path
from controller.request import MAX_CHARACTERS, MAX_MESSAGES, Attachment, Message, Request
from model_catalog.tasks import Modality

LEAST = 64


def _path(number: int, folder: str = "images", ending: str = "png") -> str:
    return f"/{folder}/{number:032x}.{ending}"


def _talk(*turns: str, request: str = "Go on", attachments: tuple[Attachment, ...] = ()) -> Request:
    roles = ("user", "assistant")
    messages = [Message(role=roles[n % 2], content=text) for n, text in enumerate(turns)]
    return Request(messages=(*messages, Message(role="user", content=request)), attachments=attachments)


def _valid(messages: list[dict[str, str]]) -> None:
    roles = [message["role"] for message in messages]
    assert roles == ["user", "assistant"] * (len(roles) // 2) + ["user"]
    assert all(message.keys() == {"role", "content"} and message["content"] for message in messages)


def test_a_short_conversation_is_told_as_it_is() -> None:
    assert fitted(_talk("Draw a cat", f"Here: {_path(1)}", request="Larger"), 1000) == [
        {"role": "user", "content": "Draw a cat"},
        {"role": "assistant", "content": f"Here: {_path(1)}"},
        {"role": "user", "content": "Larger"},
    ]


def test_attachments_are_told_by_path_and_modality() -> None:
    files = (
        Attachment(path=_path(1), modality=Modality.IMAGE),
        Attachment(path=_path(2, "audios", "wav"), modality=Modality.AUDIO),
    )
    (message,) = fitted(_talk(request="Describe", attachments=files), 1000)
    assert message["content"] == (
        f"Describe\n\nAttached files:\n- {_path(1)} (image)\n- {_path(2, 'audios', 'wav')} (audio)"
    )


def test_many_attachments_leave_room_for_the_words() -> None:
    files = tuple(Attachment(path=_path(n), modality=Modality.IMAGE) for n in range(100))
    (message,) = fitted(_talk(request="Describe " + "x" * 1000, attachments=files), 1000)
    assert message["content"].startswith("Describe xxx")
    assert "more" in message["content"].splitlines()[-1]
    assert tokens(message["content"]) + FRAME <= 1000


def test_a_long_request_is_cut_in_the_middle_and_says_so() -> None:
    words = "Translate this: " + "word " * 30_000 + "into French"
    (message,) = fitted(_talk("a", "b", request=words), 500)
    assert message["content"].startswith("Translate this: word")
    assert message["content"].endswith("word into French")
    assert "characters are left out here …]" in message["content"]
    assert 400 < tokens(message["content"]) <= 500


def test_the_picture_above_is_found_after_200_turns() -> None:
    turns = ["Draw a red fox in the snow", f"Here is the picture you asked for: {_path(7)}"]
    turns += [text for n in range(199) for text in (f"Tell me more about {n}", f"Fact {n}: " + "bla " * 60)]
    messages = fitted(_talk(*turns, request="What is in the picture above?"), 4000)
    _valid(messages)
    (line,) = [line for line in messages[0]["content"].splitlines() if _path(7) in line]
    assert line == f'- {_path(7)} (image; made, asked for with "Draw a red fox in the snow")'
    assert messages[-1]["content"] == "What is in the picture above?"
    assert "Fact 198: bla" in messages[-2]["content"]
    assert size(messages) <= 4000


@pytest.mark.parametrize("budget", range(400, 1400, 37))
def test_a_picture_is_found_in_any_room_there_is(budget: int) -> None:
    turns = ["Draw a red fox in the snow", f"Here is the picture you asked for: {_path(7)}"]
    turns += [text for n in range(199) for text in (f"Tell me more about {n}", f"Fact {n}: " + "bla " * 60)]
    messages = fitted(_talk(*turns, request="What is in the picture above?"), budget)
    assert _path(7) in messages[0]["content"]
    assert size(messages) <= budget


def test_of_many_pictures_the_one_that_is_spoken_of_is_kept() -> None:
    animals = [f"animal{n} on a hill" for n in range(200)]
    turns = [
        text for n, animal in enumerate(animals) for text in (f"Draw an {animal}", f"Here: {_path(n + 1)}")
    ]
    messages = fitted(_talk(*turns, request="Make animal23 larger"), 3000)
    _valid(messages)
    assert size(messages) <= 3000
    told = "\n".join(message["content"] for message in messages)
    assert f'- {_path(24)} (image; made, asked for with "Draw an animal23 on a hill")' in told
    assert _path(1) in told  # the first one
    assert _path(200) in told  # the latest one
    assert "more files" in messages[0]["content"]


def test_pictures_are_found_by_words_of_scripts_without_blanks() -> None:
    turns = [text for n in range(100) for text in (f"画一只{n}号狗", f"好: {_path(n + 1)}")]
    turns[80] = "画一只红色的狐狸在雪地里"
    messages = fitted(_talk(*turns, request="把狐狸放大"), 2500)
    assert _path(41) in messages[0]["content"]


def test_files_named_by_the_user_are_kept_too() -> None:
    turns = ["Look at https://example.org/cat.jpg and /examples/a.jpg", "A cat.", *["blah " * 5000] * 4]
    messages = fitted(_talk(*turns, request="And the first picture?"), 800)
    assert '- https://example.org/cat.jpg (image; named with "Look at' in messages[0]["content"]
    assert "- /examples/a.jpg (image; named with" in messages[0]["content"]


def test_a_file_of_a_turn_that_is_told_is_not_told_twice() -> None:
    turns = ["Draw", f"Here: {_path(1)}", *["blah " * 5000] * 4, "Where?", f"There: {_path(1)}"]
    messages = fitted(_talk(*turns), 600)
    assert sum(message["content"].count(_path(1)) for message in messages) == 1


def test_one_long_turn_does_not_hide_the_others() -> None:
    turns = ["Say a", "It was about tulips", "Read this", "x" * 100_000]
    messages = fitted(_talk(*turns), 1500)
    _valid(messages)
    assert any("tulips" in message["content"] for message in messages)
    assert "left out here" in messages[-2]["content"]


def test_a_clients_system_prompt_takes_no_system_role() -> None:
    request = Request(
        messages=(
            Message(role="system", content="Be brief"),
            Message(role="user", content="Hello"),
            Message(role="user", content="Do it"),
        )
    )
    assert fitted(request, 1000) == [
        {"role": "user", "content": "[Note of the client] Be brief\n\nHello\n\nDo it"}
    ]


def test_a_conversation_that_begins_with_an_answer_is_given_a_user() -> None:
    request = Request(
        messages=(Message(role="assistant", content="Welcome"), Message(role="user", content="Hi"))
    )
    _valid(fitted(request, 1000))


@pytest.mark.parametrize("seed", range(60))
def test_any_conversation_fits_any_budget(seed: int) -> None:
    chance = random.Random(seed)
    words = ["fox", "картина", "图片", "/images/", _path(seed), "https://a.example/x.wav", "😀", "1234", "\n"]

    def text() -> str:
        return " ".join(chance.choices(words, k=chance.choice([1, 5, 50, 2000])))

    request = Request(
        messages=(
            *(
                Message(role=chance.choice(["user", "assistant", "system"]), content=text())
                for _ in range(chance.randrange(30))
            ),
            Message(role="user", content=text()),
        ),
        attachments=tuple(
            Attachment(path=_path(n), modality=Modality.IMAGE) for n in range(chance.randrange(4))
        ),
    )
    budget = chance.choice([LEAST, 200, 1000, 8000])
    messages = fitted(request, budget)
    _valid(messages)
    assert size(messages) <= budget
    assert fitted(request, budget) == messages


def test_the_longest_conversation_is_read_in_time() -> None:
    turn = f"look at {_path(1)} " + "word " * 400
    request = Request(
        messages=tuple(Message(role="user", content=f"{n} {turn}") for n in range(MAX_MESSAGES))
    )
    began = time.thread_time()
    fitted(request, 16_000)
    assert time.thread_time() - began < 2
    hard = "a/" * (MAX_CHARACTERS // 2)
    began = time.thread_time()
    fitted(_talk(hard, "." * MAX_CHARACTERS, "//" * 1000, request=hard), 16_000)
    assert time.thread_time() - began < 2


@pytest.mark.parametrize(
    ("text", "least"),
    [("", 0), ("four words of English", 4), ("d8e8fca2dc0f896fd7cb4cb0031ba249", 16), ("图片很好", 4),
     ("Привет", 3), ('{"label":"cat","score":0.98}', 11), ("😀", 2)],
)  # fmt: skip
def test_tokens_are_estimated_on_the_high_side(text: str, least: int) -> None:
    assert least <= tokens(text) <= 3 * least + 1


def test_a_text_that_fits_is_not_cut() -> None:
    assert shortened("some words", 10) == "some words"


def test_the_files_of_a_text_are_found() -> None:
    text = (
        f"See **{_path(1)}**, (http://localhost:8000{_path(2)}). And https://a.org/x.png?size=2; "
        "public/images/3.jpg, cat.jpg! a/b, and/or, v1.2, /files/notes.txt…"
    )
    assert list(named(text)) == [
        _path(1),
        f"http://localhost:8000{_path(2)}",
        "https://a.org/x.png?size=2",
        "public/images/3.jpg",
        "cat.jpg",
        "/files/notes.txt",
    ]


@pytest.mark.parametrize(
    ("name", "path"),
    [("/images/a.png", "/images/a.png"), ("http://h:1/images/a.png?x", "/images/a.png"),
     ("images/a.png", "/images/a.png"), ("public/images/a.png", "/images/a.png"),
     ("//h.org/images/a.png", "/images/a.png"), ("/etc/passwd", None), ("images/second", None),
     ("http://h/other/a.png", None), ("http://[/images/a", None)],
)  # fmt: skip
def test_paths_of_this_server_are_known_by_their_form(name: str, path: str | None) -> None:
    assert own_path(name) == path
