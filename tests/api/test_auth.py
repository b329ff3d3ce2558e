"""Who comes in: every route of a server with keys, and what each key is good for."""

import asyncio
import time
from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import Any

import pytest
from starlette.routing import BaseRoute

from controller.api.app import Backend, build
from controller.api.scopes import RULES, rule
from controller.errors import SettingsError
from controller.identity import Scope, caller
from controller.planner import Reply
from controller.settings import Settings
from deployments.errors import HistoryError
from deployments.history.ring import Rate
from tests.api.keyed import Keyed, keyed
from tests.support.stage import Stage

EXPOSED = {"host": "0.0.0.0", "keys": "auto"}
HIDDEN = "0123456789abcdef0123456789abcdef"
METHODS = ("GET", "HEAD", "POST", "PUT", "PATCH", "DELETE", "OPTIONS", "TRACE", "BREW")
OPEN = {"/healthz", "/readyz"}

_VALUES = {
    "name": f"{HIDDEN}.png", "owner": "test", "action": "wake", "file": f"file-{HIDDEN}", "model": "test/x",
    "model:path": "test/x", "run_id": "run-1", "task": "summarization",
}  # fmt: skip


def _routes(routes: Sequence[BaseRoute]) -> Iterator[tuple[str, frozenset[str]]]:
    """Every path of an application with its methods; those of routers in it too."""
    for route in routes:
        included = getattr(route, "original_router", None)
        if included is not None:
            yield from _routes(included.routes)
        else:
            yield route.path, frozenset(route.methods or METHODS)  # type: ignore[attr-defined]


def _filled(path: str) -> str:
    """A path with values for its parameters."""
    while "{" in path:
        begin, end = path.index("{"), path.index("}")
        name = path[begin + 1 : end]
        path = path[:begin] + _VALUES.get(name, "x") + path[end + 1 :]
    return path


def _walk(here: Keyed) -> list[tuple[str, str]]:
    """Every method and path of a server, by its router and by its own description."""
    found = {(method, _filled(path)) for path, methods in _routes(here.app.routes) for method in methods}
    for path, item in here.app.openapi()["paths"].items():
        described = {(method.upper(), _filled(path)) for method in item if method != "parameters"}
        assert described <= found
    return sorted(found)


# Without a key ---------------------------------------------------------------------------------------------


@pytest.mark.parametrize("settings", [EXPOSED, {"host": "::", "keys": "auto"}, {"keys": "required"}])
async def test_every_route_of_an_exposed_server_asks_for_a_key(
    tmp_path: Path, settings: dict[str, Any]
) -> None:
    async with keyed(tmp_path, [Reply("hi")], **settings) as here:
        walked = _walk(here)
        assert len(walked) > 60
        paths = {path for _, path in walked}
        assert {"/", "/openapi.json", "/mcp", "/hugginggpt", "/v1/runs", "/v1/experts", "/v1/files",
                f"/images/{HIDDEN}.png", "/v1/chat/completions"} <= paths  # fmt: skip
        for method, path in walked:
            answer = await here.http.request(method, path)
            if path in OPEN and method in ("GET", "HEAD"):
                assert answer.status_code in (200, 503), (method, path)
                continue
            assert answer.status_code == 401, (method, path)
            assert answer.headers["www-authenticate"] == 'Bearer realm="hugginggpt"'
            assert answer.headers["x-request-id"]
        assert here.stage.cluster.calls == []


@pytest.mark.parametrize(
    "path", ["/docs", "/redoc", "/nothing", "/v1", "/v1/", "//v1/files", "/v1//files", "/healthz/",
             "/healthz/x", "//healthz.",
             "/readyz/../v1/files", "/HEALTHZ", "/healthz%2f", "/metrics", "/api/jobs/", "/-/routes",
             "/favicon.ico", "/examples/sign.png", f"/images/{HIDDEN}.png?expires=9&signature=x", "/mcp/",
             "/healthz;/v1/files", "/%2e%2e/v1/files", "/v1/files?key=hgp_x", "/openapi.json?access_token=x"],
)  # fmt: skip
async def test_so_does_whatever_is_no_route(tmp_path: Path, path: str) -> None:
    async with keyed(tmp_path, **EXPOSED) as here:
        for method in ("GET", "POST", "DELETE"):
            assert (await here.http.request(method, path)).status_code == 401, method


async def test_a_route_that_nobody_thought_of_is_closed_to_all_but_admins(tmp_path: Path) -> None:
    async with keyed(tmp_path) as here:
        here.app.add_api_route("/v2/new", lambda: "new", methods=["GET"])
        _, plain = here.keeper.make()
        _, admin = here.keeper.make("admin")
        assert (await here.http.get("/v2/new")).status_code == 401
        refused = await here.client(plain).get("/v2/new")
        assert (refused.status_code, refused.json()["error"]["code"]) == (403, "missing_scope")
        assert refused.json()["error"]["type"] == "permission_error"
        assert (await here.client(admin).get("/v2/new")).json() == "new"


async def test_the_description_says_that_keys_are_taken(tmp_path: Path) -> None:
    async with keyed(tmp_path) as here:
        told = (await here.client(here.keeper.make("files")[1]).get("/openapi.json")).json()
    assert told["security"] == [{"key": []}]
    assert told["components"]["securitySchemes"] == {"key": {"type": "http", "scheme": "bearer"}}
    assert "/v1/runs" in told["paths"]
    store: Any = None
    assert "security" not in build(Backend(Stage().controller, store)).openapi()


async def test_strangers_learn_that_the_server_is_well_and_no_more(tmp_path: Path) -> None:
    async with keyed(tmp_path, **EXPOSED) as here:
        assert (await here.http.get("/healthz")).json() == {"status": "ok", "service": "hugginggpt"}
        ready = await here.http.get("/readyz")
        assert ready.json() == {"status": "ready"}
        for method in ("POST", "DELETE", "PUT"):
            assert (await here.http.request(method, "/healthz")).status_code == 401


async def test_what_is_no_http_is_closed(tmp_path: Path) -> None:
    async with keyed(tmp_path) as here:
        sent: list[Any] = []

        async def receive() -> Any:
            raise AssertionError("nothing is read")

        async def send(message: Any) -> None:
            sent.append(message)

        scope = {"type": "websocket", "path": "/healthz", "headers": [], "query_string": b""}
        await here.app(scope, receive, send)
        assert sent == [{"type": "websocket.close", "code": 1008}]


async def test_the_body_of_a_stranger_is_not_waited_for(tmp_path: Path) -> None:
    async with keyed(tmp_path) as here:
        sent: list[Any] = []

        async def never() -> Any:
            await asyncio.Event().wait()

        async def send(message: Any) -> None:
            sent.append(message)

        scope = {"type": "http", "method": "POST", "path": "/v1/files", "query_string": b"",
                 "headers": [(b"host", b"127.0.0.1"), (b"content-length", b"100000000")]}  # fmt: skip
        async with asyncio.timeout(5):
            await here.app(scope, never, send)
        assert sent[0]["status"] == 401


def test_a_server_with_keys_is_not_built_without_whom_to_ask() -> None:
    stage = Stage(settings=Settings(keys="required"))
    store: Any = None
    with pytest.raises(SettingsError):
        build(Backend(stage.controller, store))


# With one --------------------------------------------------------------------------------------------------


async def test_a_key_is_taken_where_clients_put_it(tmp_path: Path) -> None:
    async with keyed(tmp_path) as here:
        _, token = here.keeper.make()
        for headers in (
            {"authorization": f"Bearer {token}"},
            {"authorization": f"bearer  {token}"},
            {"Authorization": f"BEARER {token} "},
            {"x-api-key": token},
            {"authorization": "Basic eDp5", "x-api-key": token},
        ):
            assert (await here.http.get("/v1/models", headers=headers)).status_code == 200, headers
        for headers in (
            {"authorization": token},
            {"authorization": f"Token {token}"},
            {"authorization": f"Bearer {token}x"},
            {"authorization": "Bearer "},
            {"authorization": "Bearer none", "x-api-key": token},
            {"x-api-key": ""},
            {"x-api-key": f"{token},{token}"},
            {"cookie": f"key={token}"},
            {"api-key": token},
        ):
            answer = await here.http.get("/v1/models", headers=headers)
            assert answer.status_code == 401, headers
            assert answer.json()["error"]["type"] == "authentication_error"
        for query in (f"?key={token}", f"?access_token={token}", f"?authorization=Bearer {token}"):
            assert (await here.http.get(f"/v1/models{query}")).status_code == 401


async def test_a_key_that_has_ended_or_was_revoked_opens_nothing(tmp_path: Path) -> None:
    async with keyed(tmp_path) as here:
        _, ended = here.keeper.make(ends=time.time() - 1)
        number, token = here.keeper.make()
        assert (await here.client(ended).get("/v1/models")).status_code == 401
        assert (await here.client(token).get("/v1/models")).status_code == 200
        del here.keeper.keys[number]
        here.app = build(here.app.state.backend)  # a process that asks anew, as each does within seconds
        assert (await here.client(token).get("/v1/models")).status_code == 401


_NEEDS: list[tuple[str, str, set[str]]] = [
    ("GET", "/", {"run", "files", "admin"}),
    ("GET", "/openapi.json", {"run", "files", "admin"}),
    ("GET", "/v1/models", {"run", "files", "admin"}),
    ("GET", "/v1/models/test/x", {"run", "files", "admin"}),
    ("GET", "/v1/experts", {"run", "admin"}),
    ("POST", "/v1/experts", {"admin"}),
    ("DELETE", "/v1/experts/a/b", {"admin"}),
    ("POST", "/v1/experts/a/b/wake", {"admin"}),
    ("POST", "/v1/experts/a/b/pin", {"admin"}),
    ("POST", "/hugginggpt", {"run", "admin"}),
    ("POST", "/tasks", {"run", "admin"}),
    ("POST", "/results", {"run", "admin"}),
    ("POST", "/v1/runs", {"run", "admin"}),
    ("GET", "/v1/runs", {"run", "admin"}),
    ("DELETE", "/v1/runs/run-1", {"run", "admin"}),
    ("GET", "/v1/runs/run-1/events", {"run", "admin"}),
    ("POST", "/v1/chat/completions", {"run", "admin"}),
    ("POST", "/models/a/b/v1/chat/completions", {"run", "admin"}),
    ("POST", "/v1/responses", {"run", "admin"}),
    ("POST", "/v1/images/generations", {"run", "admin"}),
    ("POST", "/v1/audio/speech", {"run", "admin"}),
    ("POST", "/v1/embeddings", {"run", "admin"}),
    ("POST", "/models/a/b", {"run", "admin"}),
    ("POST", "/pipeline/summarization", {"run", "admin"}),
    ("GET", "/status/a/b", {"run", "admin"}),
    ("POST", "/mcp", {"run", "admin"}),
    ("POST", "/v1/files", {"files", "admin"}),
    ("GET", "/v1/files", {"files", "admin"}),
    ("GET", f"/v1/files/file-{HIDDEN}/content", {"files", "admin"}),
    ("DELETE", f"/v1/files/file-{HIDDEN}", {"files", "admin"}),
    ("GET", f"/images/{HIDDEN}.png", {"files", "admin"}),
    ("HEAD", "/examples/sign.png", {"files", "admin"}),
    ("PUT", "/v1/files", {"admin"}),
    ("DELETE", f"/images/{HIDDEN}.png", {"admin"}),
    ("GET", "/nothing", {"admin"}),
]


async def test_each_route_needs_its_scope(tmp_path: Path) -> None:
    async with keyed(tmp_path) as here:
        clients = {scope.value: here.client(here.keeper.make(scope.value)[1]) for scope in Scope}
        for method, path, scopes in _NEEDS:
            for scope, client in clients.items():
                answer = await client.request(method, path)
                assert (answer.status_code != 403) == (scope in scopes), (method, path, scope, answer.text)
                assert answer.status_code != 401


async def test_the_table_says_something_of_every_route_but_those_for_admins(tmp_path: Path) -> None:
    async with keyed(tmp_path) as here:
        unnamed = {
            (method, path)
            for method, path in _walk(here)
            if rule(method, path).scope is Scope.ADMIN and path not in OPEN
            if method in ("GET", "POST", "DELETE")
        }
    assert {path.rpartition("/")[0] if path.endswith("wake") else path for _, path in unnamed} <= {
        "/v1/experts", f"/v1/experts/test/{HIDDEN}.png",
    }  # fmt: skip
    assert all(row.scope is not Scope.ADMIN for row in RULES)


# Limits, and when nobody can tell --------------------------------------------------------------------------


async def test_a_key_over_its_rate_is_told_when_to_come_again(tmp_path: Path) -> None:
    async with keyed(tmp_path) as here:
        _, token = here.keeper.make(rate=Rate(2, 3600))
        client = here.client(token)
        assert [(await client.get("/v1/models")).status_code for _ in range(2)] == [200, 200]
        refused = await client.get("/v1/models")
        assert refused.status_code == 429
        assert 1700 < int(refused.headers["retry-after"]) <= 1800
        assert refused.json()["error"]["type"] == "rate_limit_error"
        mine = await here.client(token).post("/models/test/shorten", json={"inputs": "x"})
        assert mine.status_code == 429
        assert isinstance(mine.json()["error"], str), "in the words of that dialect"


async def test_a_key_has_so_much_done_at_once_those_in_the_background_too(tmp_path: Path) -> None:
    going = asyncio.Event()
    async with keyed(tmp_path, [going, Reply("done")], script=None) as here:
        _, token = here.keeper.make(concurrency=1)
        client = here.client(token)
        asked = {"messages": [{"role": "user", "content": "wait"}], "background": True}
        begun = await client.post("/v1/runs", json=asked)
        assert begun.status_code == 202, begun.text
        for path, body in (("/v1/runs", asked), ("/hugginggpt", {"messages": asked["messages"]})):
            refused = await client.post(path, json=body)
            assert (refused.status_code, refused.json()["error"]["code"]) == (429, "key_limit")
            assert "retry-after" in refused.headers
        assert (await client.get(f"/v1/runs/{begun.json()['id']}")).json()["state"] == "running"
        assert (await client.delete(f"/v1/runs/{begun.json()['id']}")).json()["state"] == "cancelled"
        going.set()
        again = await client.post("/v1/runs", json={**asked, "background": False})
        assert again.status_code != 429


async def test_where_the_keys_cannot_be_asked_nobody_comes_in(tmp_path: Path) -> None:
    async with keyed(tmp_path) as here:
        _, token = here.keeper.make("admin")
        here.keeper.error = HistoryError("away")
        answer = await here.client(token).get("/v1/models")
        assert (answer.status_code, answer.json()["error"]["code"]) == (503, "keys")
        assert answer.headers["retry-after"] == "5"
        assert (await here.http.get("/healthz")).status_code == 200
        assert (await here.http.get("/v1/models")).status_code == 401, "without a key nobody need be asked"


# Browsers and names ----------------------------------------------------------------------------------------


async def test_pages_of_listed_origins_alone_may_read(tmp_path: Path) -> None:
    async with keyed(tmp_path, origins=("https://ui.example",), **EXPOSED) as here:
        _, token = here.keeper.make()
        for origin, allowed in (
            ("https://ui.example", True),
            ("http://localhost:3000", False),
            ("http://127.0.0.1:8000", False),
            ("https://evil.example", False),
            ("null", False),
        ):
            asks = {"origin": origin, "access-control-request-method": "POST",
                    "access-control-request-headers": "authorization"}  # fmt: skip
            preflight = await here.http.options("/v1/runs", headers=asks)
            assert ("access-control-allow-origin" in preflight.headers) is allowed
            assert preflight.status_code == (200 if allowed else 400)
            refused = await here.http.get("/v1/models", headers={"origin": origin})
            assert refused.status_code == 401
            assert ("access-control-allow-origin" in refused.headers) is allowed, "so that the page can tell"
            assert "access-control-allow-credentials" not in refused.headers
        client = here.client(token)
        posted = await client.post("/tasks", json={}, headers={"origin": "https://evil.example"})
        assert posted.json()["error"]["code"] == "forbidden"
        own = await client.post("/tasks", json={}, headers={"origin": "http://127.0.0.1:8000"})
        assert own.status_code == 400, "its own page comes through"


@pytest.mark.parametrize(
    ("host", "status"),
    [("127.0.0.1:8000", 200), ("192.168.1.5:8000", 200), ("[2001:db8::1]:8000", 200),
     ("gpu.example.org", 200), ("GPU.example.org:443", 200), ("evil.example", 403),
     ("192.168.1.5.evil.example", 403), ("[::1", 403), ("2130706433", 403), ("", 403),
     ("other.example.org", 403)],
)  # fmt: skip
async def test_an_exposed_server_answers_to_addresses_and_its_own_names(
    tmp_path: Path, host: str, status: int
) -> None:
    async with keyed(tmp_path, hosts=("https://gpu.example.org",), **EXPOSED) as here:
        _, token = here.keeper.make()
        answer = await here.client(token).get("/v1/models", headers={"host": host})
        assert answer.status_code == status
        if status == 403:
            assert "setting 'hosts'" in answer.json()["error"]["message"]


async def test_a_server_without_keys_asks_for_none_and_everybody_is_the_operator(tmp_path: Path) -> None:
    stage = Stage([Reply("hi")])
    store: Any = None
    app = build(Backend(stage.controller, store))
    assert all(layer.cls.__name__ != "Auth" for layer in app.user_middleware)  # type: ignore[attr-defined]
    assert caller().may(Scope.ADMIN)
