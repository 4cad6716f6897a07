"""A FastMCP 4.x server behind Postern, as api.md section 1 says: it checks our JWT by itself.

Environment: PORT, JWKS_URI, ISSUER, AUDIENCE. One tool that tells who calls.
"""

import os
from typing import Any

from fastmcp import FastMCP
from fastmcp.server.auth.providers.jwt import JWTVerifier
from fastmcp.server.dependencies import get_access_token

app = FastMCP(
    "notes",
    auth=JWTVerifier(
        jwks_uri=os.environ["JWKS_URI"],
        issuer=os.environ["ISSUER"],
        audience=os.environ["AUDIENCE"],
        algorithm="ES256",
    ),
)


@app.tool
def whoami() -> dict[str, Any]:
    """The caller, as the identity token says."""
    token = get_access_token()
    if token is None:
        raise PermissionError("no token")
    return {name: token.claims.get(name) for name in ("sub", "login", "name")}


if __name__ == "__main__":
    app.run(transport="http", host="127.0.0.1", port=int(os.environ["PORT"]), show_banner=False)
