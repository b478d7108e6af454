"""`python -m bench` (`make bench`): start a simulated model, a bare relay and Shaman, drive them in turn, print one report."""

import argparse
import os
import signal
import subprocess
import sys
import tempfile
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path

from bench import scenarios
from bench.model import ModelServer
from bench.product import Installation
from bench.report import markdown
from bench.scenarios import QUICK, Field, Plan, Report

SCENARIOS: dict[str, Callable[[Field], None]] = {
    "streamed": scenarios.streamed,
    "stored": scenarios.stored,
    "long": scenarios.long_conversation,
    "start": scenarios.second_start,
}


def main() -> int:
    """Measure, print, and write where asked to. 1 when a scenario broke off."""
    arguments = parse()
    for number in (signal.SIGTERM, signal.SIGHUP):
        signal.signal(number, lambda *_: sys.exit(143))  # leave through every `with`, so that no server stays behind
    plan = QUICK if arguments.quick else Plan()
    if arguments.rounds:
        plan = replace(plan, rounds=arguments.rounds)
    report = Report()
    with tempfile.TemporaryDirectory(prefix="shaman-bench-") as folder, ModelServer(process=True) as model:
        os.environ["INSTANCE"] = str(Path(folder) / "instance")  # the checkout's own stays untouched
        home = Installation(Path(folder), model.base_url)
        home.prepare()
        broken = [name for name in arguments.only or SCENARIOS if not tried(name, Field(model, home, plan, report))]
    text = markdown(report, plan)
    print(text)
    if arguments.write:
        arguments.write.write_text(text, encoding="utf-8")
    return 1 if broken else 0


def parse() -> argparse.Namespace:
    """The arguments."""
    parser = argparse.ArgumentParser(
        prog="python -m bench", description="Measure Shaman against a simulated model and a bare relay."
    )
    parser.add_argument("--quick", action="store_true", help="200 visitors and one round only")
    parser.add_argument("--rounds", type=int, help="how often each crowd is sent")
    parser.add_argument("--only", action="append", choices=list(SCENARIOS), help="one scenario (may be repeated)")
    parser.add_argument("--write", type=Path, help="write the report there too, like docs/performance.md")
    return parser.parse_args()


def tried(name: str, here: Field) -> bool:
    """Run one scenario; one that breaks off is told in the report and does not stop the others."""
    try:
        SCENARIOS[name](here)
    except (RuntimeError, OSError, subprocess.SubprocessError) as error:
        print(f"bench: {name} broke off: {error}", file=sys.stderr)
        here.report.notes.append(f"{name} broke off: {str(error)[:300]}")
        return False
    return True


if __name__ == "__main__":
    sys.exit(main())
