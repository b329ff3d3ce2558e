"""MCP at ``/mcp``: a tool for each task that can run now, and one for a whole request.

- ``door``: the HTTP side, stateless; ``cancelling``: what older protocols cancel by.
- ``server``: what the protocol's methods do.
- ``tools``: the tools, their arguments and what they give, from the registry.
- ``calls``: a call of a tool becomes a run; its steps are told as ``progress``.
- ``results``: how a run is told as a tool's result.
- ``resources``: stored files.
"""

from controller.api.mcp.door import Door

__all__ = ["Door"]
