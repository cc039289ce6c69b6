"""`frostline watch`: a page that follows a study."""

from __future__ import annotations

from typing import Annotated

import typer

from frostline.cli.look import StudyArgument


def watch_command(
    study: StudyArgument,
    port: Annotated[
        int, typer.Option(help="Port on 127.0.0.1; 0 takes any that is free.", min=0, max=65535, metavar="N")
    ] = 0,
    browser: Annotated[
        bool, typer.Option("--browser/--no-browser", help="Open the page in the browser, or only print its address.")
    ] = False,
) -> None:
    """Follow a study in the browser, whether it runs, was stopped or is finished. Only this machine can see it.

    Reads the study folder and never writes to it. Ctrl-C ends it; the study goes on.

    Example:

      frostline watch studies/spam

      frostline watch studies/spam --port 8765 --browser
    """
    from frostline.watch.server import Watched, WatchServer

    with WatchServer(Watched(study), port) as server:
        # A pipe must see the address at once.
        typer.echo(f"Watching {study} on {server.address} (Ctrl-C ends it)")
        if browser:
            import webbrowser

            webbrowser.open(server.address)
        try:
            server.serve_forever()
        except KeyboardInterrupt:
            typer.echo("No longer watching.")
