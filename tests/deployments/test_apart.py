"""An expert whose model is in a process of its own."""

import asyncio
import os
import signal
import tempfile
import time
from collections.abc import Iterator
from pathlib import Path

import numpy as np
import pytest
from pydantic import SecretStr

from deployments import apart, zygote
from deployments.errors import ExpertError, InputError
from deployments.expert import Expert
from deployments.media import File, Image
from deployments.process import Process
from deployments.result import Call, Result
from tests.deployments.experts import call, together
from tests.deployments.odd_experts import BOUND_S, light, odd, until
from tests.support.cluster import card
from tests.support.logs import recorded


@pytest.fixture(scope="module", autouse=True)
def _light() -> Iterator[None]:
    with tempfile.TemporaryDirectory(prefix="hg-", dir="/tmp") as folder, light(Path(folder)):
        yield


async def _pid(expert: Expert) -> int:
    return (await expert.figures()).pid


def _gone(pid: int) -> bool:
    """Whether a process ends soon."""
    end = time.monotonic() + BOUND_S
    while Path(f"/proc/{pid}").exists():
        if time.monotonic() > end:
            return False
        time.sleep(0.01)
    return True


# Calls -------------------------------------------------------------------------------------------------


async def test_the_model_is_in_a_process_of_its_own_with_no_secret_in_its_environment(
    monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    for name in ("HUGGINGFACE_ACCESS_TOKEN", "OPENAI_API_KEY", "HF_TOKEN"):
        monkeypatch.setenv(name, "hf_secret")
    monkeypatch.setenv("CUDA_VISIBLE_DEVICES", "3")
    monkeypatch.setenv("TOKENIZERS_PARALLELISM", "false")
    monkeypatch.chdir(tmp_path)
    expert = Expert(
        card("m", "image-to-text", "Echo").model_copy(update={"runner": "tests.deployments.odd:Odd"}),
        token=SecretStr("hf_secret"),
    )
    told = (await expert.infer(call("process"))).data
    assert told["pid"] == await _pid(expert) != os.getpid()
    assert told["session"] == told["pid"], "what is typed at the server's terminal does not reach it"
    assert told["cwd"] == str(tmp_path)
    assert told["nice"] == os.nice(0)
    assert (told["env"]["CUDA_VISIBLE_DEVICES"], told["env"]["TOKENIZERS_PARALLELISM"]) == ("3", "false")
    assert not [entry for entry in told["environ"] if "hf_secret" in entry]
    assert "hf_secret" not in told["env"].values()
    assert "hf_secret" not in told["cmdline"]


async def test_figures_are_of_the_models_process() -> None:
    expert = odd()
    figures = await expert.figures()
    assert figures.peak_bytes > 10 << 20
    assert figures.start_s > 0
    assert figures.ready_s >= figures.start_s + figures.load_s + figures.warm_s
    assert (figures.device, figures.gpus) == ("cpu", ())


async def test_media_go_both_ways() -> None:
    pixels = np.random.default_rng(1).integers(0, 256, (900, 1100, 3), dtype=np.uint8)
    asks = Call("r", "image-to-text", 0, {"image": "<GENERATED>-1", "text": "picture"}, ("<GENERATED>-1",))
    result = await odd().infer(asks, Result(image=Image(pixels)))
    assert result.image is not None
    assert np.array_equal(result.image.pixels, 255 - pixels[:, ::-1])
    assert result.model == "test/m"
    assert 0 < result.started <= result.finished <= time.time()


async def test_processes_have_random_numbers_of_their_own() -> None:
    one, other = await asyncio.gather(*(expert.infer(call("random")) for expert in (odd(), odd())))
    assert one.text != other.text


@pytest.mark.parametrize(
    ("text", "error", "message"),
    [
        ("refuse", InputError, "too long for this model"),
        ("raise", ExpertError, "test/m failed with ValueError; its replica's log has the details."),
        ("panic", ExpertError, "test/m failed with BaseException; ask again."),
    ],
)
async def test_what_goes_wrong_comes_out_in_our_words(text: str, error: type, message: str) -> None:
    expert = odd()
    with recorded(apart.logger) as records, pytest.raises(error) as caught:
        await expert.infer(call(text))
    assert type(caught.value) is error, "classes that only a plugin has stay there"
    assert str(caught.value) == message
    assert bool(records) == (error is ExpertError), "its log is the replica's"
    assert (await expert.infer(call("well"))).text == "WELL"


async def test_what_the_replica_does_not_take_fails_its_call_alone() -> None:
    expert = odd()
    pid = await _pid(expert)
    for asked, told in (
        ("smuggle", r"sys\.intern is not taken from a model's process"),
        ("absent", r"it cannot be read \(AttributeError: "),
        ("absent deployments.alone", r"it cannot be read \(ModuleNotFoundError: "),
        ("misshapen", r"it cannot be read \(TypeError: "),
    ):
        with pytest.raises(ExpertError, match=f"^test/m gave what its replica does not take: {told}"):
            await asyncio.wait_for(expert.infer(call(asked)), BOUND_S)
        assert (await expert.infer(call("well"))).text == "WELL"
    expert.check_health()
    assert await _pid(expert) == pid


async def test_a_process_that_talks_nonsense_is_replaced() -> None:
    expert = odd()
    before = await _pid(expert)
    with recorded(apart.logger) as records, pytest.raises(ExpertError, match="while it ran this; ask again"):
        await asyncio.wait_for(expert.infer(call("nonsense")), BOUND_S)
    assert "means nothing" in records[0].getMessage()
    assert (await asyncio.wait_for(expert.infer(call("well")), BOUND_S)).text == "WELL"
    assert await _pid(expert) != before
    assert await asyncio.to_thread(_gone, before)
    expert.check_health()


async def test_a_replica_whose_process_cannot_be_replaced_is_given_up(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    def refuse(_: object) -> None:
        raise RuntimeError("no threads")

    expert = odd()
    monkeypatch.setattr(Process, "ended", refuse)
    with recorded(apart.logger), pytest.raises(ExpertError, match="cannot be replaced"):
        await asyncio.wait_for(expert.infer(call("die")), BOUND_S)
    with pytest.raises(ExpertError, match="its replica is replaced"):
        expert.check_health()


def test_what_cannot_be_loaded_says_why() -> None:
    with pytest.raises(ExpertError, match=r"^weights are missing$"):
        odd(description="unloadable")
    with recorded(apart.logger) as records, pytest.raises(ExpertError, match="cannot be loaded: ValueError"):
        odd(description="foreign")
    assert "a secret: None" in records[0].getMessage()
    with pytest.raises(ExpertError, match=r"its process was killed, as where memory is short \(signal 9\)"):
        odd(description="dies")


# Batches -----------------------------------------------------------------------------------------------


async def _taken(expert: Expert, count: int) -> None:
    """Wait until as many calls have their keys, with a bound."""
    place = expert._place
    assert isinstance(place, apart.Apart)
    end = time.monotonic() + BOUND_S
    while len(expert._pending) + sum(len(batch.run.jobs) for batch in place._batches.values()) < count:
        assert time.monotonic() < end
        await asyncio.sleep(0.002)


async def test_keys_of_the_loaded_model_tell_what_goes_together(tmp_path: Path) -> None:
    expert = odd(batch_size=3, description="keyed")
    first = asyncio.create_task(expert.infer(call(f"wait {tmp_path / 'go'}")))
    await asyncio.to_thread(until, tmp_path / "go.begun")
    tasks = await together(expert, ["a1", "b1", "a2", "b2", "a3"])
    await _taken(expert, 6)
    await asyncio.to_thread((tmp_path / "go").touch)
    results = await asyncio.gather(*tasks)
    await first
    assert [result.text for result in results] == ["A1", "B1", "A2", "B2", "A3"]
    assert results[-1].data[1:] in ([["a1", "a2", "a3"]], [["a1", "a2", "a3"], ["b1", "b2"]])


async def test_the_next_full_batch_waits_beside_the_model(tmp_path: Path) -> None:
    expert = odd(batch_size=2)
    place = expert._place
    assert isinstance(place, apart.Apart)
    first = asyncio.create_task(expert.infer(call(f"wait {tmp_path / 'go'}")))
    await asyncio.to_thread(until, tmp_path / "go.begun")
    tasks = await together(expert, ["a", "b", "c"])
    for _ in range(1000):
        if len(place._batches) == 2:
            break
        await asyncio.sleep(0.002)
    assert [len(batch.run.jobs) for batch in place._batches.values()] == [1, 2], "and c waits for more"
    await asyncio.to_thread((tmp_path / "go").touch)
    await first
    assert [(await task).text for task in tasks] == ["A", "B", "C"]


# Ends --------------------------------------------------------------------------------------------------


async def test_a_call_that_nobody_waits_for_stops_the_model(tmp_path: Path) -> None:
    expert = odd()
    task = asyncio.create_task(expert.infer(call(f"wait {tmp_path / 'never'}")))
    await asyncio.to_thread(until, tmp_path / "never.begun")
    behind = asyncio.create_task(expert.infer(call("behind")))
    await asyncio.sleep(0.01)
    behind.cancel()
    task.cancel()
    await asyncio.wait({task, behind})
    result = await expert.infer(call("next"))
    assert result.text == "NEXT"
    assert [text for batch in result.data for text in batch][1:] == ["next"], "what was given up is not run"
    expert.check_health()


async def test_a_dead_process_fails_what_it_ran_and_another_takes_over(tmp_path: Path) -> None:
    expert = odd()
    before = await _pid(expert)
    tasks = await together(expert, [f"die {tmp_path / 'begun'}", "b", "c"])
    with recorded(apart.logger) as records:
        died, *others = await asyncio.gather(*tasks, return_exceptions=True)
    assert isinstance(died, ExpertError)
    assert "was killed, as where memory is short (signal 9) while it ran this" in died.message
    assert [other.text for other in others if isinstance(other, Result)] == ["B", "C"], "not to blame"
    assert "test/m" in records[0].getMessage()
    assert await _pid(expert) != before
    assert _gone(before)
    expert.check_health()


async def test_after_some_deaths_the_replica_is_given_up() -> None:
    expert = odd()
    with recorded(apart.logger):
        for _ in range(apart.DEATHS):
            expert.check_health()
            with pytest.raises(ExpertError, match="while it ran this"):
                await expert.infer(call("die"))
        with pytest.raises(ExpertError):
            await expert.infer(call("more"))
    with pytest.raises(ExpertError, match="its replica is replaced"):
        expert.check_health()


async def test_a_process_that_cannot_go_on_is_told() -> None:
    expert = odd()
    assert (await expert.infer(call("break"))).text == "broken"
    with pytest.raises(ExpertError, match="its replica is replaced"):
        expert.check_health()


async def test_the_process_ends_with_its_expert_even_in_a_call(tmp_path: Path) -> None:
    expert = odd()
    pid = await _pid(expert)
    place = expert._place
    assert isinstance(place, apart.Apart)
    task = asyncio.create_task(expert.infer(call(f"wait {tmp_path / 'never'}")))
    await asyncio.to_thread(until, tmp_path / "never.begun")
    place.close()
    assert await asyncio.to_thread(_gone, pid)
    task.cancel()
    await asyncio.wait({task})


async def test_an_expert_that_is_let_go_leaves_no_process() -> None:
    expert = odd()
    pid = await _pid(expert)
    expert.__del__()  # as Serve does where a replica ends
    assert await asyncio.to_thread(_gone, pid)


async def test_models_go_on_without_the_zygote_and_the_next_starts_another() -> None:
    expert = odd()
    found = zygote.figures()
    assert found is not None
    os.kill(found["pid"], signal.SIGKILL)
    assert _gone(found["pid"])
    assert (await expert.infer(call("still"))).text == "STILL"
    assert (await odd().infer(call("new"))).text == "NEW"
    assert (again := zygote.figures()) is not None
    assert again["pid"] != found["pid"]
    with recorded(apart.logger), pytest.raises(ExpertError, match="has ended while it ran this"):
        await expert.infer(call("die"))
    assert (await expert.infer(call("more"))).text == "MORE"


async def test_without_a_zygote_the_process_is_started_plainly_and_the_log_says_so(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    def refuse(*_: object) -> None:
        raise zygote.Unavailable("no room")

    monkeypatch.setattr(zygote, "fork", refuse)
    with recorded(apart.logger, 30) as records:
        expert = odd()
    assert ["no room" in record.getMessage() for record in records] == [True]
    told = (await expert.infer(call("process"))).data
    assert told["pid"] == await _pid(expert) != os.getpid()
    with recorded(apart.logger), pytest.raises(ExpertError, match=r"signal 9\) while it ran this"):
        await expert.infer(call("die"))
    assert (await expert.infer(call("well"))).text == "WELL"
    pid = await _pid(expert)
    expert.__del__()
    assert await asyncio.to_thread(_gone, pid)


async def test_files_are_decoded_in_the_replica() -> None:
    asks = Call("r", "image-to-text", 1, {"image": "/images/x.png", "text": "well"}, ("/images/x.png",))
    with pytest.raises(Exception, match="image"):
        await odd().infer(asks, File(b"no picture", "text/plain"))
