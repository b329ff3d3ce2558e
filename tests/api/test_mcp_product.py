"""The MCP door of the product on a real cluster, by the official client."""

import base64

from mcp import Client
from mcp_types import AudioContent, ResourceLink

from controller.api.mcp.results import RunResult, TaskResult
from tests.api.speaking import words


async def test_experts_are_tools(product: str) -> None:
    async with Client(f"{product}/mcp") as client:
        listed = {tool.name for tool in (await client.list_tools()).tools}
        assert {"ask", "text_to_speech", "image_to_text", "canny_control"} <= listed
        read = await client.call_tool(
            "image_to_text", {"image": f"{product}/examples/sign.png", "want": "ocr"}
        )
        assert words(read)[0] == "HARBOUR FERRY\nLEAVES AT NOON"
        said = await client.call_tool("text_to_speech", {"text": "Mind the gap."})
    sound, link = said.content
    assert isinstance(sound, AudioContent)
    assert base64.b64decode(sound.data)[:4] == b"RIFF"
    assert isinstance(link, ResourceLink)
    told = TaskResult.model_validate(said.structured_content)
    assert (told.model, told.files[0].url) == ("embedded/espeak-ng", link.uri)


async def test_a_whole_request_goes_through_the_tools_of_a_client_that_shakes_hands(product: str) -> None:
    steps: list[str | None] = []

    async def step(progress: float, total: float | None, message: str | None) -> None:
        steps.append(message)

    async with Client(f"{product}/mcp", mode="legacy") as client:
        result = await client.call_tool(
            "ask", {"text": "Read the text in /examples/sign.png aloud"}, progress_callback=step
        )
        missing = await client.call_tool("canny_control", {"image": "/images/" + "0" * 32 + ".png"})
    told = RunResult.model_validate(result.structured_content)
    assert [task.task for task in told.tasks] == ["image-to-text", "text-to-speech"]
    assert steps[0] == "Planned: Image to text, Text to speech."
    assert steps[-1] == "Text to speech: done."
    assert missing.is_error
    assert "There is no file" in words(missing)[0]
