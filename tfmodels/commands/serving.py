"""Try networks in the browser."""

import argparse
import socket
from pathlib import Path

from tfmodels.commands.reading import RUNS
from tfmodels.errors import UsageError
from tfmodels.runs.environment import import_quietly
from tfmodels.terminal import add_debug


def fill_serving(parser: argparse.ArgumentParser) -> None:
    """Show a page in the browser, on which networks answer for images that are dropped on it."""
    parser.add_argument("runs", nargs="+", type=Path, metavar="RUN", help=RUNS)
    parser.add_argument(
        "--host",
        default="127.0.0.1",
        help="address to listen on; 0.0.0.0 opens the page to the network [127.0.0.1]",
    )
    parser.add_argument("--port", type=int, default=8000, help="port to listen on [8000]")
    add_debug(parser)

    def command(args: argparse.Namespace) -> None:
        """Load the networks, and answer until Ctrl-C."""
        if not 0 < args.port < 2**16:
            raise UsageError(f"`port` is {args.port}: it must be from 1 to 65535")
        from tfmodels.runs.contents import find_runs, open_run

        runs = [open_run(run) for run in find_runs(args.runs)]
        try:
            listening = socket.create_server((args.host, args.port))
        except OSError as error:
            raise UsageError(
                f"`host` {args.host}, `port` {args.port}: {error.strerror or error}; name others"
            ) from error
        names = ["127.0.0.1", "localhost"] if args.host in ("127.0.0.1", "localhost") else None
        app = import_quietly("tfmodels.serve.app").create_app(runs, names)
        import waitress

        print(f"http://{args.host}:{args.port} until Ctrl-C", flush=True)
        largest = app.config["MAX_CONTENT_LENGTH"]
        waitress.serve(app, sockets=[listening], threads=2, max_request_body_size=largest)

    parser.set_defaults(command=command, parser=parser)
