"""`python -m bench.model [--port N] [--list]`: serve until told to stop; the first line printed is the base URL."""

import argparse
import asyncio
import signal

from bench.model.catalogue import describe
from bench.model.server import Model


async def serve(port: int) -> None:
    """Listen on 127.0.0.1 until SIGTERM or SIGINT."""
    loop = asyncio.get_running_loop()
    server = await Model(loop).listen(port)
    print(f"http://127.0.0.1:{server.sockets[0].getsockname()[1]}/v1", flush=True)
    over = asyncio.Event()
    for number in (signal.SIGTERM, signal.SIGINT):
        loop.add_signal_handler(number, over.set)
    await over.wait()


def main() -> None:
    """Read the arguments, then serve or list."""
    parser = argparse.ArgumentParser(prog="python -m bench.model", description="A simulated model on 127.0.0.1.")
    parser.add_argument("--port", type=int, default=0, help="0 takes a free one")
    parser.add_argument("--list", action="store_true", help="print the scripts and leave")
    arguments = parser.parse_args()
    if arguments.list:
        print(describe())
    else:
        asyncio.run(serve(arguments.port))


if __name__ == "__main__":
    main()
