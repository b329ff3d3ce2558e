"""What MCP's methods do here."""

import logging
from importlib import metadata
from typing import TYPE_CHECKING, Any

from mcp.server.context import ServerRequestContext
from mcp.server.lowlevel import Server
from mcp.shared.exceptions import MCPError
from mcp_types import (
    INVALID_PARAMS,
    CallToolRequestParams,
    CallToolResult,
    ListResourcesResult,
    ListResourceTemplatesResult,
    ListToolsResult,
    PaginatedRequestParams,
    ReadResourceRequestParams,
    ReadResourceResult,
)
from starlette.requests import Request

from controller.api.mcp import resources, tools
from controller.api.mcp.calls import ask, run_task
from controller.api.mcp.cancelling import SESSION, Running
from controller.api.mcp.progress import Progress
from controller.api.mcp.results import refused
from controller.failure import failure, root
from model_catalog.errors import HuggingGPTError

if TYPE_CHECKING:
    from controller.api.app import Backend

logger = logging.getLogger("ray.serve")

_Context = ServerRequestContext[Any, Request]

_INSTRUCTIONS = """\
Expert models for text, pictures, sound and video. Each task has a tool of its own; the tool `ask` takes a \
request in plain words that may need several of them, plans it, runs it and answers. Files are given by the \
path or URL of a file on this server, as results name them, or as a data: URL."""


def server(backend: "Backend", running: Running) -> "Server[dict[str, Any]]":
    """An MCP server over the controller; its tools are looked up for every request.

    Args:
        backend: what the doors lead to.
        running: where calls are noted, so that they can be cancelled.

    """

    async def list_tools(context: _Context, params: PaginatedRequestParams | None) -> ListToolsResult:
        return ListToolsResult(tools=tools.listed(backend.controller))

    async def call_tool(context: _Context, params: CallToolRequestParams) -> CallToolResult:
        with running.noted(_http(context).headers.get(SESSION), context.request_id) as scope, scope:
            return await _call(backend, context, params)
        return refused("The call was cancelled.")

    async def list_resources(context: _Context, params: PaginatedRequestParams | None) -> ListResourcesResult:
        return ListResourcesResult(resources=[])  # a file's name is its key, so none is listed

    async def templates(
        context: _Context, params: PaginatedRequestParams | None
    ) -> ListResourceTemplatesResult:
        return ListResourceTemplatesResult(resource_templates=resources.templates(_http(context)))

    async def read_resource(context: _Context, params: ReadResourceRequestParams) -> ReadResourceResult:
        return await _read(backend, context, params)

    return Server(
        "hugginggpt",
        version=_version(),
        title="HuggingGPT on Ray Serve",
        instructions=_INSTRUCTIONS,
        get_tool_input_schema=lambda name: None,  # no argument of a tool goes into a header
        on_list_tools=list_tools,
        on_call_tool=call_tool,
        on_list_resources=list_resources,
        on_list_resource_templates=templates,
        on_read_resource=read_resource,
    )


def _version() -> str:
    """The release that runs; none where only the sources lie here."""
    try:
        return metadata.version("hugginggpt-serve")
    except metadata.PackageNotFoundError:
        return ""


def _http(context: _Context) -> Request:
    """The HTTP request that brought a message."""
    assert context.request is not None, "every message comes by HTTP"  # noqa: S101
    return context.request


async def _call(backend: "Backend", context: _Context, params: CallToolRequestParams) -> CallToolResult:
    """Run a tool; what goes wrong is told to the model that called it, as MCP asks.

    Raises:
        MCPError: there is no such tool.

    """
    row = tools.task_of(params.name)
    if row is None and params.name != tools.ASK:
        raise MCPError(INVALID_PARAMS, f"There is no tool {params.name[:80]!r}; see tools/list.")
    progress = Progress(context.session.report_progress)
    arguments = params.arguments or {}
    try:
        if row is None:
            return await ask(backend, arguments, _http(context), progress)
        return await run_task(backend, row, arguments, _http(context), progress)
    except Exception as error:
        if not isinstance(root(error), HuggingGPTError):
            logger.exception("the tool %s met an unexpected error", params.name)
        return refused(failure(error).message)


async def _read(
    backend: "Backend", context: _Context, params: ReadResourceRequestParams
) -> ReadResourceResult:
    """A stored file.

    Raises:
        MCPError: it is not here, or too large to be sent in one piece.

    """
    try:
        return await resources.read(backend, params.uri, _http(context))
    except Exception as error:
        if not isinstance(root(error), HuggingGPTError):
            logger.exception("a resource could not be read")
        raise MCPError(INVALID_PARAMS, failure(error).message) from None
