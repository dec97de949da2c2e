"""`kopilka serve`: the gateway alone, against servers named in the environment."""

from __future__ import annotations

import errno
import os
import signal
import socket
from types import FrameType

import uvicorn
import uvloop

from gateway import garbage, logging
from gateway.app import create_app
from gateway.services import open_services
from gateway.settings import Settings
from gateway.unable import Unable, explain

from .installation import DataOption, installed


def serve_command(data: DataOption = None) -> None:
    """Serve GraphQL and OAuth until SIGTERM; then answer what was accepted and stop."""
    logging.configure()
    uvloop.run(serve(installed(data)))


async def serve(settings: Settings) -> None:
    """Serve until a signal says stop. Raises `Unable` when the port is taken."""
    for each in (signal.SIGTERM, signal.SIGINT):
        # Uvicorn repeats the signal to whoever handled it before, when its last answer is out.
        signal.signal(each, _ignore)
    listening = listen(settings.host, settings.port)
    async with open_services(settings) as services:
        garbage.look_rarely()
        config = uvicorn.Config(
            create_app(services),
            http="httptools",
            lifespan="off",
            log_config=None,
            access_log=False,
            server_header=False,
            timeout_graceful_shutdown=settings.drain_seconds,
        )
        await uvicorn.Server(config).serve(sockets=[listening])


def listen(host: str, port: int) -> socket.socket:
    """A socket bound to the port. Raises `Unable` when that cannot be."""
    family = socket.AF_INET6 if ":" in host else socket.AF_INET
    listening = socket.socket(family)
    listening.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
    try:
        listening.bind((host, port))
    except OSError as error:
        listening.close()
        if error.errno == errno.EADDRINUSE:
            raise Unable(
                f"Port {port} is in use: stop what listens there, or choose another with --port."
            ) from None
        raise explain(error, f"listening on {host}:{port}") from error
    os.set_inheritable(listening.fileno(), False)
    return listening


def _ignore(_signal: int, _frame: FrameType | None) -> None:
    return
