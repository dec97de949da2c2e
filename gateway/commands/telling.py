"""What a newcomer is told: where the endpoint is, who may call it, and one line to paste."""

from __future__ import annotations

import json

from rich.console import Console

from gateway.demo import DemoClients
from gateway.settings import Settings


def tell(settings: Settings, clients: DemoClients, *, as_json: bool, under: str) -> None:
    """Print the demo coalition's clients, for people under the heading `under`, or as one line of JSON."""
    graphql = f"{settings.issuer}/graphql"
    people = {"partner": clients.partner, "operator": clients.operator, "finance": clients.finance}
    if as_json:
        said: dict[str, object] = {"graphql": graphql, "issuer": settings.issuer}
        said |= {who: {"client_id": it.id, "client_secret": it.secret} for who, it in people.items()}
        print(json.dumps(said), flush=True)  # noqa: T201 - programs read this line
        return
    console = Console(highlight=False, soft_wrap=True)
    console.print(f"\n{under} Data: {settings.data_dir.absolute()}\n")
    console.print(f"  GraphiQL       {graphql}", markup=False)
    for who, client in people.items():
        console.print(f"  {who.capitalize():<14} {client.id}  {client.secret}", markup=False)
    console.print("\n  Earn points:\n", markup=False)
    console.print(clients.curl + "\n", markup=False)
