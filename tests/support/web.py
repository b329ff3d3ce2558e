"""A server as the command line sees it: answers in this process, over no network."""

from collections.abc import Callable, Sequence
from dataclasses import dataclass, field
from typing import Any

import httpx2

from controller.cli.client import Client
from controller.events import Event, PlanDone, PlanTask, RunCreated, RunDone
from controller.outcome import Artifact, Choice, Outcome, Status
from model_catalog.tasks import Modality

URL = "http://server.example:8000"
IMAGE = Artifact(path="/images/" + "0" * 32 + ".png", modality=Modality.IMAGE, media_type="image/png", size=4)
TASK = {"task": "canny-control", "id": 0, "dep": [-1], "args": {"image": "/examples/a.jpg"}}

Handler = Callable[[httpx2.Request], httpx2.Response]


def client(handler: Handler) -> Client:
    """A client whose requests go to the handler."""
    made = Client(URL)
    made._http.close()
    made._http = httpx2.Client(base_url=URL, transport=httpx2.MockTransport(handler))
    return made


def outcome(*artifacts: Artifact, status: Status = Status.DONE, **more: Any) -> Outcome:
    """How the task ended."""
    choice = Choice(model="embedded/canny", reason="the only one", candidates=("embedded/canny",))
    return Outcome(id=0, task="canny-control", status=status, artifacts=artifacts, choice=choice, **more)


def account(answer: str = "Here it is.", outcomes: Sequence[Outcome] = (outcome(IMAGE),)) -> list[Event]:
    """The events of a run with that end."""
    return [
        RunCreated(run="r", brain="embedded brain"),
        PlanTask(run="r", task=TASK),
        PlanDone(run="r", plan=[TASK]),
        RunDone(run="r", answer=answer, outcomes=tuple(outcomes), seconds={"total": 0.5}),
    ]


def sse(events: Sequence[Event]) -> bytes:
    """Events as a server sends them."""
    return "".join(f"event: {e.type}\ndata: {e.model_dump_json()}\n\n" for e in events).encode()


@dataclass
class Web:
    """A server that keeps files and runs every request alike; it remembers what it was asked."""

    events: Sequence[Event] = field(default_factory=account)
    refuses: str | None = None
    uploads: list[bytes] = field(default_factory=list)
    runs: list[Any] = field(default_factory=list)

    def __call__(self, request: httpx2.Request) -> httpx2.Response:
        request.read()
        if self.refuses is not None:
            return httpx2.Response(422, json={"error": {"message": self.refuses}})
        match request.method, request.url.path:
            case "POST", "/v1/files":
                self.uploads.append(request.content)
                return httpx2.Response(200, json={"path": f"/images/upload{len(self.uploads)}.png"})
            case "POST", "/v1/runs":
                self.runs.append(request)
                return httpx2.Response(200, content=sse(self.events))
            case "GET", "/v1/experts":
                return httpx2.Response(200, json={"object": "list", "data": [{"model": "embedded/canny"}]})
            case "GET", path if path.startswith("/images/"):
                return httpx2.Response(200, content=b"PNG!")
        return httpx2.Response(404, json={"error": {"message": f"nothing at {request.url.path}"}})
