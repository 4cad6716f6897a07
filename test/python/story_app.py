"""A small product of a team: one tool, one REST route, and a table of people they know by `sub`.

Both verify the caller's token with whatever FASTMCP_SERVER_AUTH names: no `auth=` in this code.
Run with FASTMCP_HOST and FASTMCP_PORT; it prints `listening` when it does.
"""

from typing import Any

from fastmcp import FastMCP
from fastmcp.server.dependencies import get_access_token
from starlette.requests import Request
from starlette.responses import JSONResponse

# What the team has stored since its first day: keyed by the provider's own user id.
PEOPLE = {
    "1001": {"desk": "B-12", "team": "maps"},
    "1002": {"desk": "C-03", "team": "routing"},
}

app = FastMCP("people")


def describe(claims: dict[str, Any]) -> dict[str, Any] | None:
    person = PEOPLE.get(str(claims["sub"]))
    if person is None:
        return None
    return {**person, **{name: claims.get(name) for name in ("sub", "login", "name", "email", "avatar_url")}}


@app.tool
def my_desk() -> dict[str, Any]:
    """Where the caller sits."""
    token = get_access_token()
    if token is None:
        raise PermissionError("no token")
    person = describe(token.claims)
    if person is None:
        raise PermissionError("unknown person")
    return person


@app.custom_route("/api/me", methods=["GET"])
async def me(request: Request) -> JSONResponse:
    scheme, _, text = request.headers.get("authorization", "").partition(" ")
    token = await app.auth.verify_token(text) if scheme.lower() == "bearer" else None
    if token is None:
        return JSONResponse({"error": "invalid_token"}, status_code=401)
    person = describe(token.claims)
    return JSONResponse(person) if person else JSONResponse({"error": "unknown person"}, status_code=403)


if __name__ == "__main__":
    app.run(transport="http", show_banner=False)
