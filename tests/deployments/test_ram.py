"""Weights that stay in RAM."""

import ctypes
import mmap
import os
from pathlib import Path

import pytest

from deployments import ram

PAGE = 4096


def _file(folder: Path, name: str, pages: int = 256) -> str:
    path = folder / name
    with path.open("wb") as file:
        file.write(os.urandom(pages * PAGE))
        file.flush()
        os.fsync(file.fileno())  # what is not on the disk yet is in RAM anyway
    return str(path)


def _dropped(path: str) -> int:
    """How many pages of a file are in RAM after the kernel was told that nobody needs them."""
    with Path(path).open("rb") as file:
        os.posix_fadvise(file.fileno(), 0, 0, os.POSIX_FADV_DONTNEED)
        mapped = mmap.mmap(file.fileno(), 0, prot=mmap.PROT_READ | mmap.PROT_WRITE, flags=mmap.MAP_PRIVATE)
        count = len(mapped) // PAGE
        seen = (ctypes.c_ubyte * count)()
        anchor = ctypes.c_char.from_buffer(mapped)
        assert (
            ram._libc.mincore(ctypes.c_void_p(ctypes.addressof(anchor)), ctypes.c_size_t(len(mapped)), seen)
            == 0
        )
        del anchor
        mapped.close()
    return sum(page & 1 for page in seen)


def mapped(path: Path) -> bool:
    """Whether this process maps a file that is, or was, at a path."""
    return any(
        str(path) == line.split(maxsplit=5)[-1].removesuffix(" (deleted)").strip()
        for line in Path("/proc/self/maps").read_text().splitlines()
    )


@pytest.mark.parametrize("may_lock", [True, False])
def test_what_is_held_stays_and_what_is_given_up_goes(
    tmp_path: Path, may_lock: bool, monkeypatch: pytest.MonkeyPatch
) -> None:
    if not may_lock:
        monkeypatch.setattr(ram._libc, "mlock", lambda *_: -1)
    path = _file(tmp_path, "a")
    if _dropped(path):
        pytest.skip("the file system of the tests' folder is in RAM itself")
    held = ram.Ram()
    assert held.hold([path], 1 << 30) == 1
    assert _dropped(path) == 256
    assert (held.held_bytes, held.locked_bytes) == (256 * PAGE, 256 * PAGE if may_lock else 0)
    held.touch()
    assert held.hold([], 0) == 0
    assert (held.held_bytes, _dropped(path)) == (0, 0)


def test_the_longest_unused_is_given_up_first(tmp_path: Path) -> None:
    a, b, c = (_file(tmp_path, name) for name in "abc")
    held, budget = ram.Ram(), 2 * 256 * PAGE
    for path in (a, b, a, c):
        assert held.hold([path], budget) == 1
    assert [identity[1] for identity in held._files] == [Path(path).stat().st_ino for path in (a, c)]


def test_a_model_is_held_whole_or_not_at_all(tmp_path: Path) -> None:
    a, b, c = (_file(tmp_path, name) for name in "abc")
    held, budget = ram.Ram(), 2 * 256 * PAGE
    assert held.hold([a], budget) == 1
    assert held.hold([a, b, c], budget) == 0
    assert held.hold([b, c, b], budget) == 2
    assert held.held_bytes == budget


def test_a_file_that_was_changed_is_another(tmp_path: Path) -> None:
    held = ram.Ram()
    path = _file(tmp_path, "a")
    held.hold([path], 1 << 30)
    Path(_file(tmp_path, "new", 8)).replace(path)
    assert held.hold([path, str(tmp_path / "absent"), _file(tmp_path, "empty", 0)], 1 << 30) == 1
    assert held.held_bytes == 8 * PAGE, "the one that was there before is given up"


@pytest.mark.parametrize("replaced", [True, False])
def test_a_file_that_was_removed_is_given_up_and_its_room_on_the_disk_is_free(
    tmp_path: Path, replaced: bool
) -> None:
    held = ram.Ram()
    path, other = (Path(_file(tmp_path, name)) for name in "ab")
    held.hold([str(path), str(other)], 1 << 30)
    held.touch()
    assert mapped(path)
    if replaced:
        Path(_file(tmp_path, "new")).replace(path)
    else:
        path.unlink()
    assert mapped(path), "and so it takes room"
    held.touch()
    assert (mapped(path), mapped(other)) == (False, True)
    assert held.held_bytes == 256 * PAGE


def test_a_file_of_two_models_stays_until_its_last_name_is_gone(tmp_path: Path) -> None:
    held = ram.Ram()
    path, link = Path(_file(tmp_path, "a")), tmp_path / "link"
    link.symlink_to(path)
    twin = tmp_path / "twin"
    twin.hardlink_to(path)
    held.hold([str(link)], 1 << 30)
    held.hold([str(twin)], 1 << 30)
    path.unlink()
    held.touch()
    assert held.held_bytes == 256 * PAGE
    twin.unlink()
    held.touch()
    assert held.held_bytes == 0
    assert not mapped(path)


def test_the_budget_is_a_part_of_what_a_container_may_take(monkeypatch: pytest.MonkeyPatch) -> None:
    whole = ram.default_budget()
    assert 0 < whole <= os.sysconf("SC_PAGE_SIZE") * os.sysconf("SC_PHYS_PAGES") // 4
    monkeypatch.setattr(Path, "read_text", lambda _: f"{4 << 20}\n")
    assert ram.default_budget() == 1 << 20
    monkeypatch.setattr(Path, "read_text", lambda _: "max\n")
    assert ram.default_budget() >= whole
