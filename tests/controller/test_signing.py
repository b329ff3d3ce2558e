"""Signed addresses of files: what opens, until when, and that nothing else does."""

import pytest
from hypothesis import given
from hypothesis import strategies as st

from controller.files import local_path
from controller.request import Message
from controller.signing import DAY_S, DAYS, FOLDERS, Signer, unsigned

NAME = "0123456789abcdef0123456789abcdef"
PATH = f"/images/{NAME}.png"
SECRET = b"s" * 32
NOON = 1_000 * DAY_S + DAY_S // 2


class Time:
    """A clock that a test sets."""

    def __init__(self, now: float = NOON) -> None:
        self.now = now

    def __call__(self) -> float:
        return self.now


def _parts(signed: str) -> tuple[str, str]:
    path, _, query = signed.partition("?")
    return path, query


@pytest.mark.parametrize("folder", FOLDERS)
def test_what_is_signed_opens(folder: str) -> None:
    signer = Signer(SECRET, Time())
    path, query = _parts(signer.signed(f"/{folder}/{NAME}.png"))
    assert path == f"/{folder}/{NAME}.png"
    assert signer.good(path, query)
    assert Signer(SECRET, Time()).good(path, query), "every process with the secret knows it"
    assert not Signer(b"t" * 32, Time()).good(path, query)


def test_it_ends_after_some_days_and_is_the_same_all_day() -> None:
    clock = Time(NOON)
    signer = Signer(SECRET, clock)
    path, query = _parts(signer.signed(PATH))
    clock.now += DAYS * DAY_S
    assert signer.good(path, query), "at least so long"
    clock.now = NOON + (DAYS + 1) * DAY_S
    assert not signer.good(path, query)
    clock.now = NOON
    again = [signer.signed(PATH)]
    for clock.now in (NOON - DAY_S // 2, NOON + DAY_S // 2 - 1, NOON + DAY_S // 2):
        again.append(signer.signed(PATH))
    assert again[0] == again[1] == again[2] != again[3]


@given(st.data())
def test_no_other_query_opens(data: st.DataObject) -> None:
    signer = Signer(SECRET, Time())
    path, query = _parts(signer.signed(PATH))
    place = data.draw(st.integers(0, len(query) - 1))
    other = data.draw(st.sampled_from("0123456789abcXYZ-_=&%"))
    if query[place] != other:
        changed = query[:place] + other + query[place + 1 :]
        assert not signer.good(path, changed)


@pytest.mark.parametrize(
    "query",
    ["", "expires=99999999999", "signature=x", "expires=&signature=", "expires=-1&signature=x", "&" * 1000,
     "expires=9&expires=9&signature=x", "expires=９９&signature=x", "expires=%00&signature=%ff", "a=b&" * 50],
)  # fmt: skip
def test_what_is_no_signature_opens_nothing(query: str) -> None:
    assert not Signer(SECRET, Time()).good(PATH, query)


def test_a_signature_is_of_one_path_and_one_end() -> None:
    signer = Signer(SECRET, Time())
    path, query = _parts(signer.signed(PATH))
    for other in (path.replace("0", "1", 1), path.replace("images", "files"), f"/{path}", "/v1/files", "/"):
        assert not signer.good(other, query)
    expires, signature = query.split("&")
    later = f"expires={int(expires.partition('=')[2]) + DAY_S}&{signature}"
    assert not signer.good(path, later)
    assert signer.good(path, f"{signature}&{expires}&v=2"), "what a client adds changes nothing"
    assert not signer.good(path, f"{query}&{signature}")


@pytest.mark.parametrize(
    "path", ["/", "/v1/files", "/v1/files/file-x/content", "/images/", "/images/../x", "/images/a/b.png",
             "words", "/imagesx/a.png", f"/images/{NAME}.png ", "/images/a\nb.png"],
)  # fmt: skip
def test_nothing_but_a_file_is_signed(path: str) -> None:
    signer = Signer(SECRET, Time())
    assert signer.signed(path) == path


def test_words_lose_the_signatures_in_them() -> None:
    signed = Signer(SECRET, Time()).signed(PATH)
    base = "http://h:8000"
    for said in (f"what is in {base}{signed}?", f"{signed}", f"![a]({base}{signed}) and {signed}.",
                 f"{signed.replace('&', '&amp;')} there"):  # fmt: skip
        plain = said.replace(signed.replace("&", "&amp;"), PATH).replace(signed, PATH)
        assert unsigned(said) == plain
        assert Message(role="user", content=said).content == plain
    assert unsigned("?expires=12&signature=short stays") == "?expires=12&signature=short stays"
    assert local_path(signed) == local_path(f"http://localhost{signed}") == PATH
