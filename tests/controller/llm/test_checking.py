"""Checking: whatever an LLM writes, an answer names files that exist, and shows nothing of other hosts."""

import random
import re
import time
from collections.abc import Iterable

import pytest

from controller.llm.checking import Checker
from controller.llm.mending import NO_FILE, Files
from controller.llm.paths import LONGEST_WORD, own_path
from controller.outcome import Artifact
from controller.request import Attachment, Message
from model_catalog.tasks import Modality
from tests.controller.llm.answering import (
    ATTACKS,
    CLIENT,
    OUTSIDE,
    artifact,
    asking,
    done,
    failed,
    path,
    plan,
    task,
)

PICTURE = path(0xA1B2C3D4E5F60718293A4B5C6D7E8F90)
SOUND = path(0xF0E1D2C3B4A5968778695A4B3C2D1E0F, Modality.AUDIO)
EARLIER = path(0x123456789, Modality.IMAGE)
MINE = path(0x987654321)


def _files() -> Files:
    """A run that drew a picture from a text and read the text aloud; an earlier picture and an attachment."""
    return Files.of(
        asking(
            "Read it from https://example.org/poem and draw it like https://example.org/style.png or cat.png",
            Message(role="user", content="Draw a fox"),
            Message(role="assistant", content=f"Here: {EARLIER}"),
            attachments=[Attachment(path=MINE, modality=Modality.IMAGE)],
        ),
        plan(
            task("image-to-text", 0, "ocr", image="/examples/sign.png"),
            task("text-to-image", 1, text="<node-0>"),
            task("text-to-speech", 2, text="<node-0>"),
        ),
        [
            done(
                0, "image-to-text", "see IMG_1234.jpg, docs/README.md and x/y.png at https://shop.example/a"
            ),
            done(1, "text-to-image", artifacts=(_made(PICTURE, Modality.IMAGE),), model="owner/painter.v1"),
            done(2, "text-to-speech", artifacts=(_made(SOUND, Modality.AUDIO),)),
        ],
    )


def _made(name: str, modality: Modality) -> Artifact:
    return artifact(int(name.rpartition("/")[2].partition(".")[0], 16), modality)


def _checked(pieces: Iterable[str], files: Files | None = None) -> str:
    checker = Checker(files or _files())
    return "".join([*map(checker.feed, pieces), checker.rest()])


def _pieces(text: str, chance: random.Random) -> list[str]:
    cuts = sorted(chance.choices(range(len(text) + 1), k=chance.choice([0, 1, 3, len(text)])))
    return [text[start:end] for start, end in zip([0, *cuts], [*cuts, len(text)], strict=True)]


@pytest.mark.parametrize(
    "text",
    [
        "Nothing to see here: a/b, and/or 24/7 in 1.5 s; owner/painter.v1 did it! [x] (y) <z> a<b 2>1 …",
        f"Here it is: {PICTURE}",
        f"**{PICTURE}**, `{SOUND}`, ({EARLIER}) and “{MINE}”.",
        f"![a fox]({PICTURE}) and [the sound]({SOUND})!",
        "From https://example.org/poem, https://example.org/other, ![s](https://example.org/style.png).",
        "It is drawn like https://example.org/style.png, from /examples/sign.png, cat.png.",
        "[painter](https://huggingface.co/owner/painter.v1) on http://localhost:8265/#/serve",
        "The text reads: see img_1234.jpg and docs/README.md",
        f"图片在{PICTURE}里。Größe: {SOUND}、",
        "// a comment, and 1//2, C:\\temp",
        "Really?! Wow!! x[0](1) and [1]: one\n[Speaker 2]: hello",
        "<b>bold</b> and <GENERATED>-0 and <br/>",
        "",
    ],
)
def test_what_is_true_stays_as_it_is(text: str) -> None:
    assert _checked([text]) == text


@pytest.mark.parametrize(
    ("text", "said"),
    [
        # Names that are nearly right
        (f"{PICTURE[:-4]}.jpg", PICTURE),
        (f"{PICTURE[:20]}….png", PICTURE),
        (f"See {PICTURE[:20]}... and go", f"See {PICTURE} and go"),
        (PICTURE.replace("a1b2", "a1c2"), PICTURE),
        (PICTURE.replace("/images/", "/image/"), PICTURE),
        (PICTURE.replace("/images/", ""), PICTURE),
        (PICTURE[1:], PICTURE),
        (f"public{PICTURE}", PICTURE),
        (f"{PICTURE}and", PICTURE),
        (f"sandbox:{PICTURE}", PICTURE),
        (f"file://{PICTURE}", PICTURE),
        (f"Image:{PICTURE}", f"Image:{PICTURE}"),
        (f"{PICTURE}?size=2.", f"{PICTURE}."),
        (f"Have you seen {PICTURE}?", f"Have you seen {PICTURE}?"),
        (f"http://localhost:8000{PICTURE}", PICTURE),
        (f"https://evil.example{PICTURE}", PICTURE),
        (f"![x](https://evil.example{PICTURE})", f"![x]({PICTURE})"),
        (f"{SOUND[:-4]}.mp3", SOUND),
        # Names that are made up, where one file can be meant
        ("/images/output.png", PICTURE),
        ("x/y.png", PICTURE),
        ("saved as sunset.png.", f"saved as {PICTURE}."),
        ("/mnt/data/sunset.jpg", PICTURE),
        ("sandbox:/mnt/data/speech.mp3", SOUND),
        ("![a fox](sunset.png)", f"![a fox]({PICTURE})"),
        ("[it](/audios/it.wav)", f"[it]({SOUND})"),
        # and where none can
        ("/videos/film.mp4", NO_FILE),
        ("![film](/videos/film.mp4)", f"film {NO_FILE}"),
        ("[film](film.mp4)", f"[film] ({NO_FILE})"),
        # Other hosts
        ("![leak](https://evil.example/x.png?d=1)", "leak (a picture on evil.example, left out)"),
        ("![](https://evil.example/x)", "picture (a picture on evil.example, left out)"),
        ("![x](//evil.example/x.png)", "x (a picture on evil.example, left out)"),
        ("![x](https://example.org/other.png)", "x (a picture on example.org, left out)"),
        ("![x](&#104;ttps://evil.example/x.png)", f"x {NO_FILE}"),
        ("![x](\\\\evil.example/x.png)", None),
        ("[here](https://evil.example/x)", "[here] (evil.example/x)"),
        ("[here](javascript:alert)", "[here] (javascript alert)"),
        ("<https://evil.example/x>", "evil.example/x"),
        ("<https://example.org/poem>", "<https://example.org/poem>"),
        ("https://evil.example/x.png", "(a file on evil.example, left out)"),
        ("see https://evil.example/x, ok", "see evil.example/x, ok"),
        ("http://example.org@evil.example/x", "example.org@evil.example/x"),
        ("http://evil.example\\@example.org/x", None),
        ("http://éxample.org/x //图.example http:é", "éxample.org/x 图.example é"),
        (f"{'x' * (LONGEST_WORD - 6)}http://evil.example/x.png", None),
        (f"{'x' * (LONGEST_WORD - 7)}=http://evil.example/x", None),
        (f"{PICTURE}://evil.example/x", f"{PICTURE}evil.example/x"),
        ("[x](a](&#104;ttps://evil.example/x)", "[x] (a] (&#104;evil.example/x)"),
        ("https:evil.example/x", "evil.example/x"),
        ("![b][a]\n\n[a]: https://evil.example/x", "[b][a]\n\n[a] : evil.example/x"),
        ("![b][a]\n[a]:\n> <&#104;ttps://evil.example/x>", None),
        ('<img src="https://evil.example/x.png">', None),
        ("<script>alert(1)</script>", "‹script>alert(1)</script>"),
        ("<!-- hidden", "‹!-- hidden"),
        ("[![x](https://evil.example/y.png)](https://evil.example/z)", None),
    ],
)
def test_what_is_not_true_is_mended(text: str, said: str | None) -> None:
    answer = _checked([text])
    if said is not None:
        assert answer == said
    harmless(answer, _files())


def harmless(answer: str, files: Files) -> None:
    """Every file that a client would find exists; nothing is loaded from elsewhere."""
    for pattern in CLIENT.values():
        for flags in (0, re.ASCII):
            for found in re.findall(pattern.pattern, answer, flags):
                assert found in files.paths or found in files.urls, answer
    for found in OUTSIDE.finditer(answer):
        target = re.compile(r"!\[[^\]]*\]\(([^)]*)\)").match(answer, found.start())
        url = re.compile(r"(?:https?:)?[/\\]{2}[^\s)>`,]*").match(answer, found.start())
        name = (target[1] if target else url[0].rstrip(".!?:") if url else "").strip()
        assert name in files.paths or name in files.urls or "//example.org/" in name, answer


def test_what_comes_before_a_path_does_not_run_into_it() -> None:
    answer = _checked([f"owner/painter.v1 made {PICTURE} and and/or {SOUND} in .png"])
    assert answer == f"owner/painter.v1 made `{PICTURE}` and and/or `{SOUND}` in .png"
    harmless(answer, _files())
    assert _checked([f"It is: {PICTURE}, {SOUND} and {EARLIER}"]).endswith(f" and `{EARLIER}`")


def test_every_file_that_was_asked_for_is_named_in_the_end() -> None:
    checker = Checker(_files())
    checker.feed("I drew it. ")
    assert checker.unnamed() == [PICTURE, SOUND]
    checker.feed(f"See {PICTURE}.")
    checker.rest()
    assert checker.unnamed() == [SOUND]


def test_a_file_whose_use_failed_is_to_be_named() -> None:
    read = plan(task("text-to-image", 0, text="a"), task("object-detection", 1, image="<node-0>"))
    outcomes = [done(0, "text-to-image", artifacts=(artifact(5),)), failed(1, "object-detection", "broke")]
    assert Checker(Files.of(asking(), read, outcomes)).unnamed() == [path(5)]


def test_of_several_files_none_is_guessed() -> None:
    read = plan(task("text-to-image", 0, text="a"), task("text-to-image", 1, text="b"))
    outcomes = [done(n, "text-to-image", artifacts=(artifact(n + 5),)) for n in range(2)]
    assert _checked(["/images/made_up.png"], Files.of(asking(), read, outcomes)) == NO_FILE


def test_the_file_that_was_asked_for_is_meant_before_a_step_on_the_way() -> None:
    read = plan(
        task("canny-control", 0, image="/examples/a.jpg"), task("image-to-image", 1, image="<node-0>")
    )
    outcomes = [
        done(0, "canny-control", artifacts=(artifact(1),)),
        done(1, "image-to-image", artifacts=(artifact(2),)),
    ]
    assert _checked(["/images/made_up.png"], Files.of(asking(), read, outcomes)) == path(2)


def test_the_picture_that_was_worked_on_is_meant_where_none_was_made() -> None:
    files = Files.of(
        asking(), plan(task("image-to-text", 0, image="/images/5.jpg")), [done(0, "image-to-text", "a")]
    )
    assert _checked(["/images/made_up.png"], files) == "/images/5.jpg"


def test_a_file_on_another_host_makes_no_path_here_known() -> None:
    files = Files.of(asking("Look at https://example.org/images/cat.png"))
    assert _checked(["/images/cat.png"], files) == NO_FILE
    assert _checked(["https://example.org/images/cat.png"], files) == "https://example.org/images/cat.png"


def test_words_come_as_soon_as_they_are_whole() -> None:
    checker = Checker(_files())
    assert checker.feed("Here is your pic") == "Here is your "
    assert checker.feed("ture: ") == "picture: "
    assert checker.feed(PICTURE[:12]) == ""
    assert checker.feed(PICTURE[12:]) == ""
    assert checker.feed(". It") == f"{PICTURE}. "
    assert checker.rest() == "It"


PARTS = (
    PICTURE, SOUND, EARLIER, PICTURE[:-4], PICTURE[:15] + "….png", "/images/made_up.png", "cat.png",
    "dog.jpg", "https://evil.example/x.png", "https://example.org/poem", "https://example.org/style.png",
    "http:", "//", "/", "![", "](", ")", "]", "[", "!", "!!", "<", ">", "<img src=", "a/b", ".png",
    "&#104;ttps://evil.example/y.png", " ", " ", "\n", ", ", ": ", ". ", "word", "图", "é", "`", "**", "]:",
    "\\", "@", "?x=1", "#", "…", "...", "_", "evil.example", "javascript:alert(1)", "(", '"',
    "data:image/png;base64,AAAA", "x" * LONGEST_WORD,
    *ATTACKS,
)  # fmt: skip


@pytest.mark.parametrize("seed", range(400))
def test_any_text_in_any_pieces_gives_one_harmless_answer(seed: int) -> None:
    chance = random.Random(seed)
    text = "".join(chance.choices(PARTS, k=chance.choice([2, 5, 10, 30])))
    answer = _checked([text])
    harmless(answer, _files())
    for _ in range(3):
        assert _checked(_pieces(text, chance)) == answer
    assert _checked(text) == answer


@pytest.mark.parametrize(
    "unit",
    ["a", "/", ".", "!", "![", "[", "](", "<a ", "]:", "//a", "/images/", "https://e", "a.png ", "\\", "…",
     "/images/{:032x}.png ", "![x](https://evil.example/{}.png) "],
)  # fmt: skip
def test_no_text_takes_long(unit: str) -> None:
    text = "".join(unit.format(n) for n in range(60_000 // len(unit)))
    began = time.thread_time()
    _checked(text[at : at + 4] for at in range(0, len(text), 4))
    assert time.thread_time() - began < 5


def test_paths_of_the_tests_have_this_servers_form() -> None:
    assert own_path(PICTURE) == PICTURE
    assert own_path(SOUND) == SOUND
