"""The 61 audits of the npm package graphql-http, run against the view over real HTTP."""

from __future__ import annotations

import asyncio
import json
import shutil
from pathlib import Path

from tests.gateway.http_server import serving
from tests.gateway.toy import an_endpoint

CLIENT = Path(__file__).parents[1] / "clients" / "graphql-http"


async def test_every_audit_of_graphql_over_http_says_ok() -> None:
    node = shutil.which("node")
    assert node, "node is missing: `make test` installs it"
    assert (CLIENT / "node_modules").is_dir(), "the audits are missing: `make test` installs them"

    async with serving(an_endpoint()) as address:
        process = await asyncio.create_subprocess_exec(
            node, "audit.mjs", f"{address}/graphql", cwd=CLIENT, stdout=asyncio.subprocess.PIPE
        )
        printed, _ = await process.communicate()

    outcomes = json.loads(printed)
    assert [each for each in outcomes if each["status"] != "ok"] == []
    assert len(outcomes) == 61
