"""A Python MCP server on FastMCP, 4.x or 2.13: the same notebook as notes.ts, behind Postern.

With JWKS_URI, ISSUER and AUDIENCE set it checks Postern's identity token by itself and knows people
by `sub`; without them everybody is `anonymous`. HOST and PORT say where it listens.
"""

import asyncio
import os
from typing import Any

from fastmcp import Context, FastMCP
from fastmcp.server.auth.providers.jwt import JWTVerifier
from fastmcp.server.dependencies import get_access_token
from starlette.requests import Request
from starlette.responses import JSONResponse

NOTES_MAX = 100
COUNT_MAX = 1_000
SHOWN = ("sub", "name", "login", "email", "email_verified", "avatar_url", "groups")


def verifier() -> JWTVerifier | None:
    if "JWKS_URI" not in os.environ:
        return None
    return JWTVerifier(
        jwks_uri=os.environ["JWKS_URI"],
        issuer=os.environ["ISSUER"],
        audience=os.environ["AUDIENCE"],
        algorithm="ES256",
    )


app = FastMCP("notes-python", auth=verifier())
notebooks: dict[str, list[str]] = {}


def claims() -> dict[str, Any]:
    token = get_access_token()
    return token.claims if token is not None else {"sub": "anonymous"}


@app.tool
def whoami() -> dict[str, Any]:
    """Who the server thinks you are."""
    known = claims()
    return {name: known[name] for name in SHOWN if name in known}


@app.tool
def add_note(text: str) -> str:
    """Adds a note to your notebook."""
    notes = [*notebooks.get(claims()["sub"], []), text][-NOTES_MAX:]
    notebooks[claims()["sub"]] = notes
    return f"{len(notes)} {'note' if len(notes) == 1 else 'notes'}"


@app.tool
def list_notes() -> str:
    """Your notebook."""
    return "\n".join(notebooks.get(claims()["sub"], ["Your notebook is empty."]))


@app.tool
async def slow_count(to: int, ctx: Context) -> str:
    """Counts, and says so as it goes."""
    for progress in range(1, min(to, COUNT_MAX) + 1):
        await asyncio.sleep(0.1)
        await ctx.report_progress(progress=progress, total=to, message=f"{progress} of {to}")
    return f"counted to {to}"


@app.custom_route("/health", methods=["GET"])
async def health(_request: Request) -> JSONResponse:
    return JSONResponse({"ok": True})


if __name__ == "__main__":
    app.run(
        transport="http",
        host=os.environ.get("HOST", "127.0.0.1"),
        port=int(os.environ.get("PORT", "8000")),
        show_banner=False,
    )
