"""FastMCP's own client with its own OAuth helper: signs in by itself and calls one tool.

Arguments: URL of the server, name of the tool. The helper opens a browser by the webbrowser module,
which obeys BROWSER. Prints `result <json>`.
"""

import asyncio
import json
import sys

from fastmcp import Client


async def main(url: str, tool: str) -> None:
    async with Client(url, auth="oauth") as client:
        result = await client.call_tool(tool)
        text = "".join(getattr(block, "text", "") for block in result.content)
        print("result " + json.dumps({"structured": result.structured_content, "text": text}), flush=True)


asyncio.run(main(sys.argv[1], sys.argv[2]))
