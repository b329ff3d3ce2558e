import logging
from pathlib import Path

import pytest

from deployments import ahead
from deployments.ahead import Ahead
from deployments.book import NAME, Book
from deployments.errors import ExpertError
from deployments.figures import Figures
from deployments.needs import Slots, key, need, note, placed
from deployments.rooms import Device, Need, Place
from model_catalog.card import ModelCard
from model_catalog.share import Facts

GIB = 1 << 30
SMALL = Device("n", "0", 24 * GIB, "L4")
LARGE = Device("m", "0", 80 * GIB, "H100")
MEMORY = Device("n", None, 16 * GIB)
CARD = ModelCard(
    id="a/b", tasks=("summarization",), library="transformers", params=10**9, revision="c" * 40, batch_size=4
)


def measured(device: str = "cuda", peak: int = 7 * GIB, gpus: tuple[str, ...] = ("0",)) -> Figures:
    return Figures(model="a/b", device=device, peak_bytes=peak, node="n", gpus=gpus)


def test_a_measured_peak_replaces_the_estimate() -> None:
    book = Book()
    estimated = need(CARD, book)
    note(book, CARD, [measured()])
    found = need(CARD, book)
    assert found.gpu_bytes != estimated.gpu_bytes
    assert 7 * GIB < found.gpu_bytes < 11 * GIB
    other = CARD.model_copy(update={"batch_size": 8})
    assert need(other, book).gpu_bytes != found.gpu_bytes, "measured with another batch"


def test_what_a_process_took_on_the_cpu_counts_there() -> None:
    book = Book()
    note(book, CARD, [measured("cpu", 3 * GIB, ())])
    assert need(CARD, book).ram_bytes == pytest.approx(3.3 * GIB, rel=0.01)
    assert book.measured == {}
    note(book, CARD, [measured("cpu", 9 * GIB, ("0",))])  # a logical GPU tells nothing of memory
    assert need(CARD, book).ram_bytes == pytest.approx(3.3 * GIB, rel=0.01)


def test_facts_of_the_repository_count_before_the_card() -> None:
    book = Book(facts={key(CARD): Facts(weights={"F32": 4 * 10**9})})
    assert need(CARD, book).gpu_bytes > 2 * need(CARD, Book()).gpu_bytes


def test_the_operators_share_counts_before_all() -> None:
    assert need(CARD.model_copy(update={"gpu": 0.3}), Book()).share == 0.3
    assert need(CARD, Book()).share is None


def test_a_model_of_unknown_size_takes_what_it_is_given() -> None:
    unknown = ModelCard(id="a/b", tasks=("summarization",), library="transformers", gpu=0.5)
    assert need(unknown, Book()).gpu_bytes == 0
    assert need(unknown, Book()).share == 0.5


def test_a_card_is_placed_with_its_share_and_its_type_of_gpu() -> None:
    needed = need(CARD, Book())
    alone = placed(CARD, Place((SMALL,), 0.3), needed, [SMALL, MEMORY])
    assert (alone.gpu, alone.resources) == (0.3, {})
    both = placed(CARD, Place((SMALL,), 0.3), needed, [SMALL, LARGE])
    assert both.resources == {"accelerator_type:L4": 0.001}
    assert placed(CARD, Place((MEMORY,), 0.2), needed, [SMALL, LARGE, MEMORY]).gpu == 0.0
    assert placed(CARD, Place((), 0.7), needed, []).gpu == 0.7


def test_of_one_type_in_two_sizes_the_smaller_makes_the_share() -> None:
    small, large = Device("n", "0", 40 * GIB, "A100"), Device("m", "0", 80 * GIB, "A100")
    needed = Need(gpu_bytes=30 * GIB)
    assert placed(CARD, Place((large,), 0.38), needed, [small, large]).gpu == pytest.approx(0.75)
    beyond = Need(gpu_bytes=60 * GIB)  # the smaller one cannot hold it at all
    assert placed(CARD, Place((large,), 0.75), beyond, [small, large]).gpu == pytest.approx(0.75)


def test_replicas_say_where_they_are() -> None:
    devices = [SMALL, Device("n", "1", 24 * GIB), MEMORY]
    slots = Slots()
    assert slots.places([measured()], 0.3, devices) == [Place((SMALL,), 0.3)]
    assert slots.places([measured("cpu", gpus=())], 0.2, devices) == [Place((MEMORY,), 0.2)]
    assert slots.places([Figures("a/b", "cuda", 0, node="gone", gpus=("0",))], 0.3, devices) == []


def test_a_replica_that_tells_its_share_is_believed() -> None:
    told = Figures("a/b", "cuda", 0, node="n", gpus=("0",), share=0.45)
    assert Slots().places([told], 0.3, [SMALL]) == [Place((SMALL,), 0.45)]


@pytest.mark.parametrize(
    "names", [("2", "3"), ("GPU-1f", "GPU-2a"), ("MIG-a", "MIG-b"), ("1", "0"), ("1", "2")]
)
def test_gpus_of_any_name_have_one_place_each(names: tuple[str, str]) -> None:
    devices = [SMALL, Device("n", "1", 24 * GIB, "L4")]
    slots = Slots()
    first, second = (slots.places([measured(gpus=(name,))], 0.3, devices)[0].devices for name in names)
    assert set(first + second) == set(devices)
    assert slots.places([measured(gpus=names[:1])], 0.3, devices)[0].devices == first
    assert slots.places([measured(gpus=names)], 2.0, devices)[0].devices == (*first, *second)


def test_what_was_measured_is_that_of_a_card_without_a_commit_too() -> None:
    book = Book()
    note(book, CARD, [measured()])
    unpinned = CARD.model_copy(update={"revision": None})
    assert need(unpinned, book).gpu_bytes == need(CARD, book).gpu_bytes
    other = CARD.model_copy(update={"revision": "d" * 40})
    assert need(other, book).gpu_bytes != need(CARD, book).gpu_bytes


def test_a_book_is_read_as_it_was_written(tmp_path: Path) -> None:
    book = Book(added={"a/b": CARD}, pinned={"a/b"}, removed={"c/d"}, wake_s={"a/b": 3.5})
    note(book, CARD, [measured()])
    book.write(tmp_path / "new")
    assert Book.read(tmp_path / "new") == book
    assert [path.name for path in (tmp_path / "new").iterdir()] == [NAME]


@pytest.mark.parametrize("spoiled", ["", "{", '{"added": {"a/b": 7}}', "\x00"])
def test_a_spoiled_book_is_kept_aside(spoiled: str, tmp_path: Path, caplog: pytest.LogCaptureFixture) -> None:
    (tmp_path / NAME).write_text(spoiled, encoding="utf-8")
    assert Book.read(tmp_path) == Book()
    assert "cannot be read" in caplog.text
    assert (tmp_path / "fleet.spoiled").read_text(encoding="utf-8") == spoiled
    assert Book.read(tmp_path) == Book()


async def test_models_are_studied_once(
    monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    caplog.set_level(logging.WARNING)
    asked, learned = [], []

    def facts(card: ModelCard, token: object) -> Facts:
        asked.append(card.id)
        if card.id == "a/gone":
            raise ExpertError("The Hub has no a/gone.")
        return Facts(weights={"F16": 7})

    async def learn(card: ModelCard) -> None:
        learned.append(card.id)

    monkeypatch.setattr(ahead, "facts", facts)
    book = Book()
    studies = Ahead(book, None, learn)
    gone = CARD.model_copy(update={"id": "a/gone"})
    for card in (CARD, CARD, gone, CARD.model_copy(update={"id": "a/told", "gpu": 0.2})):
        studies.study(card)
    while studies._studies:
        await next(iter(studies._studies.values()))
    studies.study(CARD)
    assert asked == ["a/b", "a/gone"]
    assert learned == ["a/b"]
    assert book.facts[key(CARD)].weights == {"F16": 7}
    assert "The Hub has no a/gone." in caplog.text
