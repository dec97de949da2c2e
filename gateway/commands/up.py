"""`kopilka up`: everything on this machine with one command, stopped by Ctrl-C."""

from __future__ import annotations

import http.client
import os
import signal
import sys
from collections.abc import Sequence
from contextlib import ExitStack
from typing import Annotated, Final

import typer

from gateway.embedded import Child, DataFolder, Postgres, Valkey, last_complaint, serving_account
from gateway.jobs import DRAIN_SECONDS
from gateway.settings import Settings
from gateway.unable import Unable
from members import MasterKeys

from .demo import NoticeDaysOption, loaded
from .installation import DataOption, JsonOption, completed, settings_with
from .migrate import ClockOption, StartsAtOption, check_start, migrated
from .serve import listen
from .telling import tell

_STOPPING: Final = (signal.SIGINT, signal.SIGTERM, signal.SIGHUP)
_READY_SECONDS: Final = 60.0
_UP: Final = "[bold]Kopilka is up.[/bold] Ctrl-C stops everything."


def up_command(
    port: Annotated[
        int | None, typer.Option(help="Where to serve (default: 8000).", min=1, max=65535)
    ] = None,
    data: DataOption = None,
    clock: ClockOption = None,
    starts_at: StartsAtOption = None,
    notice_days: NoticeDaysOption = None,
    worker: Annotated[bool, typer.Option(help="Run background jobs too.")] = True,
    as_json: JsonOption = False,
) -> None:
    """Start Kopilka with servers of its own, load the demo coalition, and serve until Ctrl-C."""
    for each in _STOPPING:
        signal.signal(each, signal.default_int_handler)
    check_start(clock, starts_at)
    settings = settings_with(data=data, port=port)
    listen(settings.host, settings.port).close()
    with ExitStack() as stack:
        folder = DataFolder(settings.data_dir)
        stack.callback(folder.close)
        settings, children = _start_servers(settings, folder, stack)
        migrated(settings, clock=clock, starts_at=starts_at)
        clients = loaded(settings, notice_days)
        later = stack.enter_context(ExitStack())  # the worker starts after the gateway and ends after it
        children.append(_start_gateway(settings, folder, stack))
        if worker:
            children.append(_start_worker(settings, folder, later))
        tell(settings, clients, as_json=as_json, under=_UP)
        _wait_for_the_end(children)


def _start_servers(settings: Settings, folder: DataFolder, stack: ExitStack) -> tuple[Settings, list[Child]]:
    """Start what the environment does not name; complete settings, and the servers to watch."""
    account = serving_account()
    known = {"master_key": folder.secret("master_key", lambda: MasterKeys.generate().reveal())}
    children = []
    if settings.database_url is None:
        postgres = Postgres(folder, account)
        stack.callback(postgres.stop)
        postgres.start()
        known |= postgres.role_urls()
        children.append(postgres.child)
    if settings.redis_url is None:
        valkey = Valkey(folder, account)
        stack.callback(valkey.stop)
        valkey.start()
        known["redis_url"] = valkey.url
        children.append(valkey.child)
    return completed(settings, known), children


def _start_worker(settings: Settings, folder: DataFolder, stack: ExitStack) -> Child:
    worker = _start("worker", settings, folder)
    stack.callback(worker.stop, seconds=DRAIN_SECONDS + settings.drain_seconds + 10)
    return worker


def _start_gateway(settings: Settings, folder: DataFolder, stack: ExitStack) -> Child:
    gateway = _start("gateway", settings, folder)
    # Its requests may take so long, and then its lanes.
    stack.callback(gateway.stop, seconds=2 * settings.drain_seconds + 10)
    gateway.wait_until(
        lambda: _is_ready(settings),
        seconds=_READY_SECONDS,
        failure=lambda: last_complaint(folder.path / "logs" / "gateway.log"),
    )
    return gateway


def _start(name: str, settings: Settings, folder: DataFolder) -> Child:
    """Start one of our own commands, told everything through its environment."""
    command = "serve" if name == "gateway" else name
    with folder.log(name) as log:
        return Child(
            f"The {name}",
            [sys.executable, "-m", "gateway.cli", command],
            log=log,
            environment={**os.environ, **_environment(settings)},
        )


def _environment(settings: Settings) -> dict[str, str]:
    names = ("database_url", "owner_url", "reader_url", "redis_url", "master_key")
    return {
        **{f"KOPILKA_{name.upper()}": settings.require(name) for name in names},
        "KOPILKA_DATA_DIR": str(settings.data_dir.absolute()),
        "KOPILKA_HOST": settings.host,
        "KOPILKA_PORT": str(settings.port),
        "KOPILKA_ISSUER": settings.issuer,
    }


def _is_ready(settings: Settings) -> bool:
    connection = http.client.HTTPConnection(settings.host, settings.port, timeout=5)
    try:
        connection.request("GET", "/readyz")
        return connection.getresponse().status == 200
    except OSError:
        return False
    finally:
        connection.close()


def _wait_for_the_end(children: Sequence[Child]) -> None:
    """Sleep until somebody says stop, which is well, or a child ends by itself, which is not."""
    watched = {*_STOPPING, signal.SIGCHLD}
    signal.pthread_sigmask(signal.SIG_BLOCK, watched)
    while all(child.is_running for child in children):
        if signal.sigwait(watched) != signal.SIGCHLD:
            return
    ended = next(child for child in children if not child.is_running)
    raise Unable(f"{ended.name} ended by itself, so everything was stopped; its log says why.")
