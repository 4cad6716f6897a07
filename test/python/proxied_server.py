"""A FastMCP server, 2.13 or 4.x, that is its own authorization server: its `OAuthProxy` in front of GitHub.

Environment: PORT, GITHUB_URL, GITHUB_CLIENT_ID, GITHUB_CLIENT_SECRET. One tool that tells who calls.
Prints nothing but its own log; it answers when it listens.
"""

import asyncio
import json
import os
import urllib.error
import urllib.request
from typing import Any

from fastmcp import FastMCP
from fastmcp.server.auth import AccessToken, TokenVerifier
from fastmcp.server.auth.oauth_proxy import OAuthProxy
from fastmcp.server.dependencies import get_access_token

GITHUB_URL = os.environ["GITHUB_URL"]
PORT = int(os.environ["PORT"])


def read_user(token: str) -> dict[str, Any] | None:
    headers = {"authorization": f"Bearer {token}", "user-agent": "notes"}
    try:
        with urllib.request.urlopen(urllib.request.Request(f"{GITHUB_URL}/user", headers=headers)) as answer:
            return json.load(answer)
    except urllib.error.HTTPError:
        return None


class GitHubVerifier(TokenVerifier):
    """As FastMCP's own, at another address than github.com."""

    async def verify_token(self, token: str) -> AccessToken | None:
        user = await asyncio.to_thread(read_user, token)
        if user is None:
            return None
        return AccessToken(
            token=token,
            client_id=str(user["id"]),
            scopes=["user"],
            claims={"sub": str(user["id"]), "login": user["login"]},
        )


app = FastMCP(
    "notes",
    auth=OAuthProxy(
        upstream_authorization_endpoint=f"{GITHUB_URL}/login/oauth/authorize",
        upstream_token_endpoint=f"{GITHUB_URL}/login/oauth/access_token",
        upstream_client_id=os.environ["GITHUB_CLIENT_ID"],
        upstream_client_secret=os.environ["GITHUB_CLIENT_SECRET"],
        token_endpoint_auth_method="client_secret_post",
        token_verifier=GitHubVerifier(required_scopes=["user"]),
        base_url=f"http://127.0.0.1:{PORT}",
    ),
)


@app.tool
def whoami() -> dict[str, Any]:
    """The caller, as GitHub knows them."""
    token = get_access_token()
    if token is None:
        raise PermissionError("no token")
    return {name: token.claims.get(name) for name in ("sub", "login")}


if __name__ == "__main__":
    app.run(transport="http", host="127.0.0.1", port=PORT, show_banner=False)
