"""The other side of P5: FastMCP's OAuthProxy in front of one tool, as its documentation sets it up.

Argument: JSON with port, issuer, client_id, client_secret, cache_ttl_seconds (null: its default, off)
and auth (false: the same server for anyone). The provider is asked by token introspection.
"""

import json
import sys

from fastmcp import FastMCP
from fastmcp.server.auth import OAuthProxy
from fastmcp.server.auth.providers.introspection import IntrospectionTokenVerifier
from key_value.aio.stores.memory import MemoryStore

settings = json.loads(sys.argv[1])
issuer = settings["issuer"]
client = {"client_id": settings["client_id"], "client_secret": settings["client_secret"]}


def proxy() -> OAuthProxy:
    return OAuthProxy(
        upstream_authorization_endpoint=f"{issuer}/auth",
        upstream_token_endpoint=f"{issuer}/token",
        upstream_client_id=client["client_id"],
        upstream_client_secret=client["client_secret"],
        token_verifier=IntrospectionTokenVerifier(
            introspection_url=f"{issuer}/token/introspection",
            cache_ttl_seconds=settings["cache_ttl_seconds"],
            **client,
        ),
        base_url=f"http://127.0.0.1:{settings['port']}",
        extra_authorize_params={"scope": "openid profile email"},
        forward_resource=False,
        # In memory: a sign-in that is remembered on disk would be slower, and outlive the run.
        client_storage=MemoryStore(),
    )


app = FastMCP("bench", auth=proxy() if settings["auth"] else None)


@app.tool
def search(text: str) -> str:
    """The call of the other side."""
    return "three notes"


if __name__ == "__main__":
    app.run(
        transport="http",
        host="127.0.0.1",
        port=settings["port"],
        show_banner=False,
        log_level="warning",
        stateless_http=True,
        json_response=True,
    )
