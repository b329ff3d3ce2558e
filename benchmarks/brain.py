"""What planning while running saves: with an LLM of 50 tokens a second and experts of one second.

Three schedules of the same request, with the same scripted LLM endpoint and the same experts on Ray Serve:

- ours: one planning call, whose tasks are dispatched while the next ones are written; one answering call;
- plan, then run: the same controller, where no task starts before the plan is whole;
- HuggingGPT's: a planning call, before each task a call that selects its model, one answering call (as
  microsoft/JARVIS, ``awesome_chat.py``, without its polling).

A task object takes 50 tokens, a selection 40, an answer 50. The time is that to the end of the answer.

    python -m benchmarks.brain [--rounds N] [--rate N] [--seconds N]
"""

import argparse
import asyncio
import json
import logging
import os
import statistics
import tempfile
import time
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

os.environ.setdefault("RAY_USAGE_STATS_ENABLED", "0")
os.environ.setdefault("RAY_worker_niceness", "0")  # the caller here is no Ray worker, as a proxy would be
os.environ["PYTHONPATH"] = str(Path(__file__).resolve().parent.parent)

import ray
from ray import serve

from controller import reference
from controller.controller import Controller
from controller.events import RunDone
from controller.experts import ServeExperts
from controller.llm.planner import LlmPlanner
from controller.llm.responder import LlmResponder
from controller.outcome import Outcome, Status
from controller.request import Message, Request
from controller.selector import Selector
from controller.settings import Settings
from deployments import fleet
from deployments.llm.client import Llm
from deployments.llm.endpoint import Endpoint
from deployments.result import Call, Input, Result
from deployments.runners.base import Runner
from model_catalog.card import ModelCard
from model_catalog.catalog import Catalog
from tests.support.endpoint import Asked, Reply, ScriptedEndpoint

TASK_TOKENS = 50
SELECTION_TOKENS = 40
ANSWER_TOKENS = 50
PLAN = "Plan: "
SELECT = "Select a model for this task."
ANSWER = "This is what came of your request, told in as many words as such an answer takes on most days."


class Slow(Runner):
    """A model that takes its time, without computing."""

    def run(self, inputs: Sequence[Input]) -> list[Result]:
        """Give back the text."""
        time.sleep(float(self.card.defaults["seconds"]))
        return [Result(text=item.text(), data=[]) for item in inputs]


@dataclass(frozen=True)
class Case:
    """A request, its plan, and the most that ours may take of the other schedules' time."""

    name: str
    request: str
    tasks: tuple[Mapping[str, Any], ...]
    targets: Mapping[str, float]

    @property
    def plan(self) -> Reply:
        """The plan as the LLM writes it."""
        text = json.dumps({"tasks": self.tasks, "reply": None})
        return Reply(text, tokens=TASK_TOKENS * len(self.tasks))


def _task(task: str, number: int, text: str) -> Mapping[str, Any]:
    nothing = dict.fromkeys(("want", "model", "reason", "options"))
    return {"task": task, "id": number, "dep": [], "args": {"text": text}, **nothing}


CASES = (
    Case(
        "a chain of three",
        "Summarize 'a text', translate the summary into French, and tell its sentiment.",
        (
            _task("summarization", 0, "a text"),
            _task("translation", 1, "<GENERATED>-0"),
            _task("text-classification", 2, "<GENERATED>-1"),
        ),
        {"plan, then run": 0.8, "HuggingGPT's": 0.55},
    ),
    Case(
        "four tasks, one replica",
        "Summarize 'one', 'two', 'three' and 'four', each for itself.",
        tuple(_task("summarization", n, word) for n, word in enumerate(("one", "two", "three", "four"))),
        {"plan, then run": 0.7},
    ),
)


def cards(seconds: float) -> list[ModelCard]:
    """One expert for each task."""
    tasks = dict.fromkeys(str(task["task"]) for case in CASES for task in case.tasks)
    return [
        ModelCard(
            id=f"bench/{task}",
            tasks=(task,),
            runner="benchmarks.brain:Slow",
            defaults={"seconds": str(seconds)},
        )
        for task in tasks
    ]


def script(asked: Asked) -> Reply:
    """What the LLM writes: a selection, the plan of the case that is asked for, or an answer."""
    if asked.user == SELECT:
        return Reply(json.dumps({"id": "bench/model", "reason": "It fits."}), tokens=SELECTION_TOKENS)
    if asked.format == "json_schema" or asked.user.startswith(PLAN):
        return next(case.plan for case in CASES if case.request in asked.user)
    return Reply(ANSWER, tokens=ANSWER_TOKENS)


class Quiet:
    """Takes no figures."""

    def run(self, outcome: str, seconds: dict[str, float]) -> None:
        """See ``controller.controller.Meter``."""

    def task(self, outcome: Outcome) -> None:
        """See ``controller.controller.Meter``."""


class Schedules:
    """The ways to serve a request; each gives the seconds to the end of the answer."""

    def __init__(self, url: str, known: Catalog) -> None:
        self._llm = Llm(Endpoint(model="scripted", base_url=url))
        self._known = known

    async def controlled(self, case: Case, streamed: bool) -> float:
        """Through the controller, whose tasks start as they are written, or when all are."""
        planner = LlmPlanner(self._llm)
        planner.streamed = streamed
        controller = Controller(
            Settings(),
            planner,
            LlmResponder(self._llm),
            Selector(self._known),
            ServeExperts(self._known),
            Quiet(),
        )
        await controller.refresh()
        request = Request(messages=(Message(role="user", content=case.request),))
        began = time.perf_counter()
        (done,) = [event async for event in controller.run(request) if isinstance(event, RunDone)]
        taken = time.perf_counter() - began
        assert [outcome.status for outcome in done.outcomes] == [Status.DONE] * len(case.tasks), done
        assert done.usage is not None, done
        assert done.usage["calls"] == 2, done.usage
        return taken

    async def hugginggpt(self, case: Case) -> float:
        """As HuggingGPT does it: a selection before each task, once its inputs are there."""
        began = time.perf_counter()
        plan = json.loads(await self._said(PLAN + case.request))["tasks"]
        running: dict[int, asyncio.Task[Any]] = {}

        async def one(task: Mapping[str, Any]) -> Any:
            tag = task["args"]["text"]
            upstream = [await running[number] for number in reference.find(tag)]
            await self._said(SELECT)
            app = fleet.app_name(self._known.get(f"bench/{task['task']}"))
            handle = serve.get_app_handle(app).options(method_name="infer", _by_reference=True)
            sources = (tag,) if upstream else ()
            response = handle.remote(
                Call("bench", task["task"], task["id"], {"text": tag}, sources), *upstream
            )
            await response
            return response

        for task in plan:
            running[task["id"]] = asyncio.create_task(one(task))
        await asyncio.gather(*running.values())
        await self._said("Answer.")
        return time.perf_counter() - began

    async def _said(self, words: str) -> str:
        """What the LLM says."""
        return "".join([text async for text in self._llm.stream([{"role": "user", "content": words}])])

    async def close(self) -> None:
        """Close the connections."""
        await self._llm.close()


async def _measure(url: str, known: Catalog, rounds: int) -> dict[str, dict[str, float]]:
    schedules = Schedules(url, known)
    found: dict[str, dict[str, list[float]]] = {}
    for case in CASES:
        times = found.setdefault(case.name, {})
        for number in range(rounds + 1):
            taken = {
                "ours": await schedules.controlled(case, streamed=True),
                "plan, then run": await schedules.controlled(case, streamed=False),
                "HuggingGPT's": await schedules.hugginggpt(case),
            }
            for name, seconds in taken.items():
                if number:  # the first one warms up
                    times.setdefault(name, []).append(seconds)
    await schedules.close()
    return {
        case: {name: statistics.median(values) for name, values in times.items()}
        for case, times in found.items()
    }


def main() -> None:
    """Run the benchmark and print a table, then one line of JSON."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0] if __doc__ else None)
    parser.add_argument("--rounds", type=int, default=3)
    parser.add_argument("--rate", type=float, default=50, help="tokens a second of the LLM")
    parser.add_argument("--seconds", type=float, default=1, help="seconds an expert takes")
    options = parser.parse_args()
    known = Catalog(cards(options.seconds))
    logging.getLogger("ray.serve").setLevel(logging.WARNING)
    ray.init(address="local", num_cpus=4, include_dashboard=False, log_to_driver=False, logging_level="ERROR")
    try:
        serve.start(proxy_location="Disabled")
        fleet.deploy(list(known))
        with (
            tempfile.TemporaryDirectory() as folder,
            ScriptedEndpoint(script, rate=options.rate) as endpoint,
        ):
            serve.run(fleet.artifacts_app(folder), name=fleet.ARTIFACTS, route_prefix=None)
            found = asyncio.run(_measure(endpoint.url, known, options.rounds))
    finally:
        serve.shutdown()
        ray.shutdown()
    _print(found)


def _print(found: Mapping[str, Mapping[str, float]]) -> None:
    names = list(next(iter(found.values())))
    print(f"{'seconds to the end of the answer':34}" + "".join(f"{name:>18}" for name in names))
    for told, times in found.items():
        print(f"{told:34}" + "".join(f"{times[name]:>18.2f}" for name in names))
    print()
    ratios: dict[str, dict[str, float]] = {}
    for case in CASES:
        times = found[case.name]
        for other, target in case.targets.items():
            ratio = round(times["ours"] / times[other], 3)
            ratios.setdefault(case.name, {})[other] = ratio
            print(f"{case.name}: ours takes {ratio} of {other} (target: at most {target})")
    print(json.dumps({"seconds": found, "ratios": ratios}))


if __name__ == "__main__":
    main()
