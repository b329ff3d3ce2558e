"""Asking the Hub: what it tells, and what happens when it does not want to."""

import re
from pathlib import Path
from typing import Any

import pytest
from huggingface_hub import constants

from model_catalog.errors import GatedModelError, HubError, UnknownModelError
from model_catalog.hub import PAGE, TRIES, Hub, Told
from tests.model_catalog.hubs import Time, asking, bare, listed, served
from tests.support.hub import FakeHub

__all__ = ["bare", "served"]


def test_a_listing_goes_on_page_by_page(served: FakeHub, bare: Path) -> None:
    for number in range(PAGE + 3):
        listed(served, bare, f"lab/m{number}", "fill-mask", number)
    listed(served, bare, "lab/other", "summarization", 999)
    names = [told.id for told in asking().listing("fill-mask", 1000)]
    assert names == [f"lab/m{number}" for number in reversed(range(PAGE + 3))]
    assert len(served.asked(part="/api/models")) == 2
    served.forget()
    assert [told.id for told in asking().listing("fill-mask", 2)] == names[:2]
    (asked,) = served.requests
    assert asked.query["limit"] == ["2"]
    assert re.search(r"hugginggpt-serve/\d", asked.agent)
    assert asked.token is None


def test_what_is_told_of_a_model(served: FakeHub, bare: Path) -> None:
    commit = listed(
        served,
        bare,
        "lab/m",
        "fill-mask",
        30,
        gated="manual",
        safetensors={"parameters": {"F32": 5, "I64": 1}, "total": 6},
        usedStorage=77,
        inferenceProviderMapping=[
            {"provider": "one", "status": "live", "providerId": "x", "task": "fill-mask"},
            {"provider": "two", "status": "staging", "providerId": "x", "task": "fill-mask"},
        ],
    )
    told = asking(token=served.token).model("lab/m")
    assert told == Told(
        id="lab/m",
        commit=commit,
        task="fill-mask",
        library="transformers",
        downloads=30,
        downloads_all=270,
        likes=3,
        gated="manual",
        tags=("fill-mask", "transformers", "license:mit"),
        storage=77,
        weights={"F32": 5, "I64": 1},
        providers=("one",),
    )
    assert Told.model_validate(told.model_dump()) == told
    assert served.requests[-1].token == served.token


def test_providers_of_one_model_come_by_name() -> None:
    mapping = {"b": {"status": "live"}, "a": {"status": "live"}, "c": {"status": "error"}, "d": None}
    assert Told.read({"id": "lab/m", "inferenceProviderMapping": mapping}).providers == ("a", "b")


@pytest.mark.parametrize("answer", [None, [], "x", {}, {"id": 3}, {"id": "a/b", "downloads": -1}])
def test_an_answer_of_another_form(answer: Any) -> None:
    with pytest.raises(HubError, match="cannot be read"):
        Told.read(answer)


def test_files_of_a_commit(served: FakeHub, bare: Path) -> None:
    commit = listed(served, bare, "lab/m", "fill-mask", 1)
    files = asking().files("lab/m")
    assert files.commit == commit
    assert files.sizes == {"config.json": 22}
    assert asking().read("lab/m", commit, "config.json") == (bare / "config.json").read_bytes()
    with pytest.raises(HubError, match="answers with an error \\(404\\)"):
        asking().read("lab/m", commit, "other.json")


def test_models_that_are_not_there(served: FakeHub, bare: Path) -> None:
    listed(served, bare, "lab/m", "fill-mask", 1)
    with pytest.raises(UnknownModelError, match="no model lab/none, or it is private and a token is needed"):
        asking().model("lab/none")
    with pytest.raises(UnknownModelError, match="a token may not read it"):
        asking(token=served.token).model("lab/none")
    with pytest.raises(UnknownModelError, match="lab/m has no such revision"):
        asking().model("lab/m", "v9")


def test_gated_files(served: FakeHub, bare: Path) -> None:
    commit = listed(served, bare, "lab/m", "fill-mask", 1, gated="auto")
    with pytest.raises(GatedModelError, match=r"accept its terms .* set HUGGINGFACE_ACCESS_TOKEN") as caught:
        asking().read("lab/m", commit, "config.json")
    assert (caught.value.status, caught.value.code) == (403, "gated")
    served.granted = set()
    with pytest.raises(GatedModelError, match="account has no access yet"):
        asking(token=served.token).read("lab/m", commit, "config.json")


def test_a_token_that_the_hub_does_not_know(served: FakeHub, bare: Path) -> None:
    listed(served, bare, "lab/m", "fill-mask", 1)
    with pytest.raises(HubError, match="does not know the token; set HUGGINGFACE_ACCESS_TOKEN"):
        asking(token="hf_stale").model("lab/m")


@pytest.mark.parametrize("headers", [{"Retry-After": "7"}, {"RateLimit": '"api";r=0;t=7'}])
def test_the_hub_says_how_long_to_wait(served: FakeHub, bare: Path, headers: dict[str, str]) -> None:
    listed(served, bare, "lab/m", "fill-mask", 1)
    served.busy = [headers, headers]
    time, said = Time(), list[str]()
    assert asking(time, said=said).model("lab/m").id == "lab/m"
    assert time.slept == [7, 7]
    assert len(said) == 2
    assert "429" in said[0]
    assert "7 s" in said[0]


def test_nobody_else_asks_during_the_pause(served: FakeHub, bare: Path) -> None:
    listed(served, bare, "lab/m", "fill-mask", 1)
    served.busy = [{"Retry-After": "60"}] * TRIES
    time = Time()
    hub = asking(time)
    with pytest.raises(HubError, match=r"429"):
        hub.model("lab/m")
    paused = sum(time.slept)
    assert hub.model("lab/m").id == "lab/m"  # as another thread would
    assert sum(time.slept) == paused
    assert paused == 60 * (TRIES - 1)


def test_a_pause_that_is_too_long_ends_it(served: FakeHub, bare: Path) -> None:
    served.busy = [{"Retry-After": "3600"}]
    time = Time()
    with pytest.raises(HubError, match=r"asks to wait 3600 s; .* set HUGGINGFACE_ACCESS_TOKEN"):
        asking(time).model("lab/m")
    assert not time.slept


def test_errors_are_asked_again_ever_later(served: FakeHub) -> None:
    served.failing = 503
    time = Time()
    with pytest.raises(HubError, match=r"answers with an error \(503\); check the network"):
        asking(time).model("lab/m")
    assert len(served.requests) == TRIES
    assert time.slept == sorted(time.slept)
    assert time.slept[-1] > 8 * time.slept[0]


def test_a_hub_that_is_not_there(monkeypatch: pytest.MonkeyPatch, served: FakeHub) -> None:
    monkeypatch.setenv("HF_ENDPOINT", "http://127.0.0.1:9")
    with pytest.raises(HubError, match=r"127\.0\.0\.1:9 cannot be reached"):
        asking().model("lab/m")


def test_a_forbidden_network(monkeypatch: pytest.MonkeyPatch, served: FakeHub) -> None:
    monkeypatch.setattr(constants, "HF_HUB_OFFLINE", True)
    with pytest.raises(HubError, match="HF_HUB_OFFLINE forbids"):
        asking().model("lab/m")
    assert not served.requests


def test_the_token_stays_with_the_hub(monkeypatch: pytest.MonkeyPatch, served: FakeHub, bare: Path) -> None:
    monkeypatch.setenv("HF_ENDPOINT", "http://hub.example.org")
    with pytest.raises(HubError, match="in the open; give HF_ENDPOINT an https:// address"):
        Hub("hf_secret")
    assert Hub().address == "http://hub.example.org"
    for number in range(PAGE + 1):
        listed(served, bare, f"lab/m{number}", "fill-mask", number)
    monkeypatch.setenv("HF_ENDPOINT", served.url.replace("127.0.0.1", "localhost"))
    with pytest.raises(HubError, match=r"goes on at another host \(127\.0\.0\.1"):
        list(asking(token=served.token).listing("fill-mask", PAGE + 1))
