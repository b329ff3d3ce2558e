"""Artifacts: the life of uploads and results on disk, and what is refused."""

import re
import stat as modes
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from deployments.artifacts import CHUNK, Artifacts
from deployments.decode import decode
from deployments.errors import MediaError, NotFoundError, TooLargeError
from deployments.media import Audio, File, Image, Limits, Table, Video
from deployments.result import Result
from model_catalog.tasks import Modality
from tests.deployments.samples import FILMS, PICTURES, SOUNDS, gradient, tone
from tests.support.stored import kept

PNG = PICTURES["image/png"]
TABLE = Table(("a", "b"), (("1", "2"),))


@pytest.fixture
def artifacts(tmp_path: Path) -> Artifacts:
    return Artifacts(str(tmp_path / "deep" / "store"), Limits(max_bytes=1 << 20))


async def _upload(artifacts: Artifacts, data: bytes, name: str = "") -> Any:
    ticket = await artifacts.begin()
    half = len(data) // 2
    await artifacts.append(ticket, data[:half])
    await artifacts.append(ticket, data[half:])
    return await artifacts.finish(ticket, name)


def _ids(folder: Path) -> list[str]:
    """The id of each file that is stored, and the names of all that belong to none."""
    return [path.name.split(".")[1] if "." in path.name else path.name for path in kept(folder)]


# Results -----------------------------------------------------------------------------------------------


async def test_the_media_of_a_result_become_files_and_the_rest_is_its_account(artifacts: Artifacts) -> None:
    result = Result(
        text="words",
        data={"score": 1.0},
        image=Image(gradient()),
        audio=Audio(tone(), 16_000),
        video=Video(np.stack([gradient(), gradient()]), 2.0),
        table=TABLE,
        model="test/m",
        started=1.0,
        finished=2.0,
    )
    account = await artifacts.store(result)
    assert (account.text, account.data, account.model) == ("words", {"score": 1.0}, "test/m")
    assert (account.started, account.finished) == (1.0, 2.0)
    kinds = [(artifact.modality, artifact.media_type) for artifact in account.artifacts]
    assert kinds == [
        (Modality.IMAGE, "image/png"),
        (Modality.AUDIO, "audio/wav"),
        (Modality.VIDEO, "video/mp4"),
        (Modality.TABLE, "text/csv"),
    ]
    pattern = r"/(images/\w{32}\.png|audios/\w{32}\.wav|videos/\w{32}\.mp4|files/\w{32}\.csv)"
    for artifact in account.artifacts:
        assert re.fullmatch(pattern, artifact.path)
        file = await artifacts.fetch(artifact.path)
        assert len(file.data) == artifact.size
        assert await artifacts.stat(artifact.path) == artifact
        if artifact.modality is Modality.TABLE:
            assert decode(file, Modality.TABLE) == TABLE
    image = decode(await artifacts.fetch(account.artifacts[0].path), Modality.IMAGE)
    assert isinstance(image, Image)
    assert np.array_equal(image.pixels, gradient())


async def test_words_and_data_are_not_stored(artifacts: Artifacts, tmp_path: Path) -> None:
    account = await artifacts.store(Result(text="words", data=[1]))
    assert account.artifacts == ()
    assert _ids(tmp_path) == []


async def test_what_cannot_be_encoded_leaves_nothing(artifacts: Artifacts, tmp_path: Path) -> None:
    with pytest.raises(MediaError):
        await artifacts.store(Result(image=Image(np.zeros((0, 0, 3), np.uint8))))
    assert _ids(tmp_path) == []


async def test_ids_are_random_and_of_128_bits(artifacts: Artifacts) -> None:
    dot = Result(image=Image(np.zeros((1, 1), np.uint8)))
    paths = [(await artifacts.store(dot)).artifacts[0].path for _ in range(40)]
    ids = [re.fullmatch(r"/images/([0-9a-f]{32})\.png", path) for path in paths]
    assert all(ids)
    assert len(set(paths)) == 40
    drawn = [int(match[1], 16) for match in ids if match]
    assert all(0 < sum(number >> bit & 1 for number in drawn) < 40 for bit in range(128)), "every bit varies"


# Uploads -----------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("data", "name", "folder", "media_type", "modality"),
    [
        (PNG, "a.png", "images", "image/png", Modality.IMAGE),
        (PNG, "", "images", "image/png", Modality.IMAGE),
        (PNG, "a.jpg", "images", "image/png", Modality.IMAGE),
        (SOUNDS["audio/wav"], "a.WAV", "audios", "audio/wav", Modality.AUDIO),
        (FILMS["video/mp4"], "a.mp4", "videos", "video/mp4", Modality.VIDEO),
        ("Grüße".encode(), "a.txt", "files", "text/plain", Modality.TEXT),
        (b"a,b\n1,2\n", "a.csv", "files", "text/csv", Modality.TABLE),
        (b"a\tb\n1\t2\n", "a.tsv", "files", "text/csv", Modality.TABLE),
        (b'{"a": 1}', "a.json", "files", "application/json", Modality.DATA),
        (b"<script>alert(1)</script>", "a.html", "files", "text/plain", Modality.TEXT),
    ],
    ids=lambda value: "" if isinstance(value, bytes) else None,
)
async def test_an_upload_gets_an_id_and_is_the_same_to_all_who_ask(
    artifacts: Artifacts,
    tmp_path: Path,
    data: bytes,
    name: str,
    folder: str,
    media_type: str,
    modality: Modality,
) -> None:
    artifact = await _upload(artifacts, data, name)
    assert artifact.path.startswith(f"/{folder}/")
    assert (artifact.media_type, artifact.modality, artifact.size) == (media_type, modality, len(data))
    assert await artifacts.stat(artifact.path) == artifact
    assert await artifacts.fetch(artifact.path) == File(data, media_type)
    assert await artifacts.read(artifact.path, 0, CHUNK) == data
    assert _ids(tmp_path) == [Path(artifact.path).stem], "no part of it is left"


async def test_a_ticket_ends_with_its_upload(artifacts: Artifacts, tmp_path: Path) -> None:
    ticket = await artifacts.begin()
    assert re.fullmatch(r"[0-9a-f]{32}", ticket)
    await artifacts.append(ticket, PNG)
    await artifacts.finish(ticket, "a.png")
    for again in (artifacts.append(ticket, b"more"), artifacts.finish(ticket, "a.png")):
        with pytest.raises(NotFoundError, match="start it again"):
            await again
    await artifacts.abort(ticket)
    assert len(_ids(tmp_path)) == 1


async def test_unknown_tickets(artifacts: Artifacts) -> None:
    for ticket in ("", "0" * 32, "../images/x"):
        with pytest.raises(NotFoundError):
            await artifacts.append(ticket, b"x")
        with pytest.raises(NotFoundError):
            await artifacts.finish(ticket, "x")
        await artifacts.abort(ticket)


async def test_an_upload_given_up_leaves_nothing(artifacts: Artifacts, tmp_path: Path) -> None:
    ticket = await artifacts.begin()
    await artifacts.append(ticket, PNG)
    assert _ids(tmp_path) == [ticket]
    await artifacts.abort(ticket)
    assert _ids(tmp_path) == []


async def test_bytes_that_come_after_an_upload_was_given_up_make_no_file(
    artifacts: Artifacts, tmp_path: Path
) -> None:
    ticket = await artifacts.begin()
    (part,) = kept(tmp_path)
    assert part.name == ticket
    part.unlink()  # as an abort in that moment does
    with pytest.raises(NotFoundError):
        await artifacts.append(ticket, PNG)
    assert _ids(tmp_path) == []


async def test_an_upload_over_its_limit_is_removed_at_once(tmp_path: Path) -> None:
    artifacts = Artifacts(str(tmp_path), Limits(max_bytes=3 << 20))
    ticket = await artifacts.begin()
    await artifacts.append(ticket, bytes(3 << 20))
    with pytest.raises(TooLargeError, match="over 3 MiB"):
        await artifacts.append(ticket, b"x")
    assert _ids(tmp_path) == []
    with pytest.raises(NotFoundError):
        await artifacts.append(ticket, b"x")
    with pytest.raises(NotFoundError):
        await artifacts.finish(ticket, "a.png")


@pytest.mark.parametrize(
    ("data", "name", "error"),
    [
        (b"", "a.png", MediaError),
        (b"\0\1\2\3" * 20, "a.bin", MediaError),
        (b"\xff\xfe\x00", "a.txt", MediaError),
        (PNG[:40], "a.png", MediaError),
        (b"no picture", "a.png", MediaError),
        (PNG, "a.wav", MediaError),
        (PNG, "a.mp4", MediaError),
        (SOUNDS["audio/wav"], "a.png", MediaError),
        (SOUNDS["audio/wav"][:20], "a.wav", MediaError),
        (PICTURES["image/bmp"], "a.bmp", TooLargeError),
    ],
    ids=lambda value: len(value) if isinstance(value, bytes) else None,
)
async def test_what_is_refused_leaves_nothing(
    tmp_path: Path, data: bytes, name: str, error: type[MediaError]
) -> None:
    artifacts = Artifacts(str(tmp_path), Limits(max_pixels=100 if error is TooLargeError else 10**6))
    with pytest.raises(error) as caught:
        await _upload(artifacts, data, name)
    assert type(caught.value) is error
    assert _ids(tmp_path) == []


async def test_a_name_is_shown_short_and_harmless(artifacts: Artifacts) -> None:
    with pytest.raises(MediaError) as caught:
        await _upload(artifacts, PNG, "x" * 500 + "\x1b[31m\n.wav")
    assert "\x1b" not in caught.value.message
    assert "\n" not in caught.value.message
    assert len(caught.value.message) < 200
    assert "no audio file" in caught.value.message


# Paths and folders -------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    "path",
    [
        "",
        "/",
        "images/{id}.png",
        "/images/{id}",
        "/images/{id}.png/",
        "/images/{id}.png\n",
        "/images/{id}.png\0",
        "//images/{id}.png",
        "/images//{id}.png",
        "/images/./{id}.png",
        "/images/../images/{id}.png",
        "/images/%2e%2e/{id}.png",
        "/audios/{id}.png",
        "/images/{ID}.png",
        "/images/{id}0.png",
        "/images/{id}.jpeg123",
        "/uploads/{ticket}",
        "/uploads/{ticket}.png",
        "/files/../uploads/{ticket}",
        "/images",
        "/etc/passwd",
        "/../../../etc/passwd",
        "/images/00000000000000000000000000000000.png",
        "/examples/../pyproject.toml",
        "/examples/absent.png",
        "/examples/a.txt",
        "/examples/README.md",
        "\\images\\{id}.png",
    ],
)
async def test_no_other_path_leads_anywhere(artifacts: Artifacts, path: str) -> None:
    ticket = await artifacts.begin()
    stored = (await _upload(artifacts, PNG)).path
    known = stored.removeprefix("/images/").removesuffix(".png")
    asked = path.format(id=known, ID=known.upper() + "F", ticket=ticket)
    for answer in (artifacts.fetch(asked), artifacts.stat(asked), artifacts.read(asked, 0, 1)):
        with pytest.raises(NotFoundError, match="There is no file") as caught:
            await answer
        assert "\n" not in caught.value.message
    assert (await artifacts.stat(stored)).path == stored


async def test_examples_lie_beside_what_is_stored(artifacts: Artifacts) -> None:
    sign = await artifacts.stat("/examples/sign.png")
    assert (sign.modality, sign.media_type) == (Modality.IMAGE, "image/png")
    assert len((await artifacts.fetch("/examples/sign.png")).data) == sign.size
    assert (await artifacts.stat("/examples/noisy.wav")).modality is Modality.AUDIO


async def test_a_file_is_read_in_pieces(artifacts: Artifacts) -> None:
    text = bytes(range(32, 127)) * 8000
    path = (await _upload(artifacts, text, "a.txt")).path
    assert await artifacts.read(path, 5, 10) == text[5:15]
    assert await artifacts.read(path, len(text) - 3, 10) == text[-3:]
    assert await artifacts.read(path, len(text), 10) == b""
    assert len(text) < CHUNK
    big = Artifacts(await artifacts.location())
    path = (await _upload(big, text * 2, "a.txt")).path
    assert len(await big.read(path, 0, 10 * CHUNK)) == CHUNK, "never more than that at a time"


async def test_a_restart_finds_the_files_again(artifacts: Artifacts, tmp_path: Path) -> None:
    path = (await _upload(artifacts, PNG)).path
    await artifacts.append(await artifacts.begin(), PNG)
    assert len(_ids(tmp_path)) == 2
    beside = Artifacts(await artifacts.location())
    assert (await beside.fetch(path)).data == PNG
    assert len(_ids(tmp_path)) == 2, "another process that still lives finishes what it has begun"
    _left_behind(tmp_path)
    Artifacts(await artifacts.location())
    assert len(_ids(tmp_path)) == 2, "what a process left that ended in the middle is gone"


def _left_behind(folder: Path) -> None:
    """Make what a process leaves that is killed in an upload."""
    left = folder / "deep" / "store" / "uploads" / "1234"
    left.mkdir()
    (left / "part").write_bytes(PNG)


async def test_only_this_user_can_read_the_folders(artifacts: Artifacts, tmp_path: Path) -> None:
    root = tmp_path / "deep" / "store"
    assert await artifacts.location() == str(root)
    await _upload(artifacts, PNG)
    await artifacts.begin()
    paths = [root, *root.rglob("*")]
    assert {path.name for path in root.iterdir()} == {"blobs", "uploads"}
    assert {modes.S_IMODE(path.stat().st_mode) for path in paths if path.is_dir()} == {0o700}
    assert {modes.S_IMODE(path.stat().st_mode) for path in paths if path.is_file()} == {0o600}
