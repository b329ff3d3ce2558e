"""Whatever is posted to the MCP door is answered, and never by a fault of the server's own."""

import json
from typing import Any

from hypothesis import given, settings
from hypothesis import strategies as st

from tests.api.doors import doors
from tests.support.dispatching import ONE
from tests.support.stage import Stage

_JSON = st.recursive(
    st.none() | st.booleans() | st.integers() | st.floats(allow_nan=False, allow_infinity=False) | st.text(),
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(st.text(max_size=8), inner, max_size=3),
    max_leaves=8,
)
_METHODS = st.sampled_from(
    ["initialize", "notifications/cancelled", "notifications/initialized", "ping", "resources/list",
     "resources/read", "resources/templates/list", "server/discover", "subscriptions/listen", "tools/call",
     "tools/list", "prompts/list", ""]
)  # fmt: skip
_NAMES = st.sampled_from(["ask", "fill_mask", "canny_control", "text_to_speech", "no_such_tool"])
_ARGUMENTS = st.fixed_dictionaries(
    {}, optional={"text": _JSON, "image": _JSON, "model": _JSON, "files": _JSON, "top_k": _JSON}
)
_META = st.sampled_from(
    [None, {}, {"progressToken": 1},
     {"io.modelcontextprotocol/protocolVersion": "2026-07-28",
      "io.modelcontextprotocol/clientCapabilities": {}, "progressToken": "p"}]
)  # fmt: skip
_PARAMS = st.fixed_dictionaries(
    {"_meta": _META}, optional={"name": _NAMES | _JSON, "arguments": _ARGUMENTS | _JSON, "uri": _JSON}
)
_BODIES = st.fixed_dictionaries(
    {"jsonrpc": st.just("2.0"), "method": _METHODS | _JSON, "params": _PARAMS | _JSON}, optional={"id": _JSON}
)


@settings(max_examples=150, derandomize=True, deadline=None, database=None)
@given(
    body=_BODIES | _JSON,
    version=st.sampled_from([None, "2026-07-28", "2025-06-18", "1999-01-01"]),
    accept=st.sampled_from(["application/json, text/event-stream", "*/*", "text/html"]),
)
async def test_whatever_is_posted_is_answered(body: Any, version: str | None, accept: str) -> None:
    headers = {"accept": accept, "content-type": "application/json"}
    if version is not None:
        headers["mcp-protocol-version"] = version
        if isinstance(body, dict) and isinstance(body.get("method"), str) and body["method"].isascii():
            headers["mcp-method"] = body["method"]
    async with doors(Stage(ONE)) as http:
        answer = await http.post("/mcp", content=json.dumps(body).encode(), headers=headers)
    assert answer.status_code < 500, answer.text
    assert "Traceback" not in answer.text
