"""A backend in Python with the client that openapi-python-client made: list, session, token."""

import os

from postern_client import AuthenticatedClient
from postern_client.api.connect_sessions import create_connect_session
from postern_client.api.connections import connections_find, connections_list
from postern_client.api.connectors import connectors_find, connectors_list
from postern_client.api.tokens import get_token
from postern_client.models import CreateConnectSessionBody, GetTokenBody, Problem

url = os.environ["POSTERN_URL"]
manage = AuthenticatedClient(base_url=url, token=os.environ["POSTERN_MANAGE_KEY"])
tokens = AuthenticatedClient(base_url=url, token=os.environ["POSTERN_TOKENS_KEY"])

connectors = connectors_list.sync(client=manage)
print("connectors", ",".join(connector.name for connector in connectors.data))

page = connections_list.sync(client=manage, app="dashboard")
print("connections", ",".join(f"{one.app}/{one.user}/{one.state.value}" for one in page.data))
found = connections_find.sync(client=manage, id=page.data[0].id)
print("connected", found.connected_at.year >= 2024)

session = create_connect_session.sync(
    client=manage,
    body=CreateConnectSessionBody(user="ada", origin="https://app.example.com"),
)
print("session", session.token.startswith("pcs_"))

token = get_token.sync(client=tokens, body=GetTokenBody(user="ada", connector="notes"))
print("token", token.access_token)

refused = get_token.sync(client=tokens, body=GetTokenBody(user="grace", connector="notes"))
print("refused", isinstance(refused, Problem), refused.status, refused.code)
absent = connectors_find.sync(client=manage, name="nots")
print("absent", isinstance(absent, Problem), absent.code)
