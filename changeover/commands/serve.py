"""`changeover serve`: the live page."""

import typer

from changeover.commands.options import CONFIG, Config
from changeover.exits import OK
from changeover.settings import Settings


def serve(config: Config = CONFIG) -> None:
    """Serve the live page: how far, how far behind, is it right, may I go on, can I go back.

    Read-only, at http://127.0.0.1:8740/ by default; the settings have a section [page]. It looks at source
    and log about once a second and needs none of the pipeline's processes, so it may run anywhere from which
    both can be read.
    """
    from changeover.daemon import run_daemon  # noqa: PLC0415 - for this command alone, as the web server is
    from changeover.page.server import Server  # noqa: PLC0415

    server = Server(Settings.load(config))
    typer.echo(f"the page is at {server.url}")
    status = run_daemon("serve", config, lambda duty: server.serve(duty.should_stop))
    if status != OK:
        raise typer.Exit(status)
