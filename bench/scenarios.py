"""What is measured, one function a scenario. Each prints what it is doing to standard error and fills the `Report`."""

import asyncio
import sys
import time
from dataclasses import dataclass, field
from itertools import product as every_pair

from bench.drive import Target, Turn, ask, drive, percentile, spoken_text
from bench.measure import Cell, measure
from bench.model import ModelServer
from bench.product import KNOWING, PLAIN, Installation
from bench.servers import Server, free_port, relay
from bench.targets import model_target, product_target, relay_target, visitor_target

TURN_SECONDS = 2.2  # of `steady`: 200 ms and 100 tokens at 50 a second


@dataclass(frozen=True)
class Plan:
    """How much is measured."""

    crowds: tuple[int, ...] = (1, 50, 200)
    rounds: int = 3
    turns: int = 4
    passages: int = 1000
    instant_turns: int = 100
    long_messages: int = 2000
    pairs: int = 200


QUICK = Plan(crowds=(200,), rounds=1, turns=3, passages=300, instant_turns=40, pairs=60)


@dataclass
class Report:
    """Everything measured; a figure that was not taken is missing."""

    streamed: list[Cell] = field(default_factory=list)
    knowing: list[Cell] = field(default_factory=list)
    instant: list[Cell] = field(default_factory=list)
    figures: dict[str, float] = field(default_factory=dict)
    notes: list[str] = field(default_factory=list)


@dataclass
class Field:
    """Where it is measured: the model, the installation, and what they fill."""

    model: ModelServer
    home: Installation
    plan: Plan
    report: Report

    @property
    def model_port(self) -> int:
        return int(self.model.root.rpartition(":")[2])


def say(text: str) -> None:
    """Progress, for whoever waits."""
    print(f"bench: {text}", file=sys.stderr, flush=True)


def wanted_words(model_port: int, model: str) -> str:
    """What the model says, asked alone: every answer must be exactly this."""
    target = model_target(model_port, model)
    turn = asyncio.run(ask(target, 0, 0))
    return spoken_text(target, b"".join(turn.parts))


def streamed(here: Field) -> None:
    """`steady` for each crowd, at the model, the relay and Shaman in turn; then the same with knowledge, and the memory it takes."""
    report, plan = here.report, here.plan
    with relay(here.model.base_url) as bare, here.home.server() as shaman:
        time.sleep(1.0)
        report.figures["memory idle"] = shaman.memory()
        warm_up(here, shaman, PLAIN)
        asked: list[tuple[Target, Server | None]] = [
            (model_target(here.model_port, "steady"), None),
            (relay_target(bare.port, "steady"), bare),
            (product_target(shaman.port, here.home.keys[PLAIN]), shaman),
        ]
        rounds(here, asked, plan.crowds, report.streamed)
        report.figures["memory 200 streams"] = max(cell.peak_mb for cell in report.streamed if cell.target == "Shaman")
        with_knowledge(here, shaman)


def with_knowledge(here: Field, shaman: Server) -> None:
    """200 visitors at the client that has passages."""
    say(f"adding {here.plan.passages} passages")
    here.report.figures["passages"] = here.home.teach(shaman, here.plan.passages)
    warm_up(here, shaman, KNOWING)
    name = "Shaman with knowledge"
    asked: list[tuple[Target, Server | None]] = [
        (model_target(here.model_port, "steady"), None),
        (product_target(shaman.port, here.home.keys[KNOWING], name), shaman),
    ]
    rounds(here, asked, (200,), here.report.knowing)
    here.report.figures["memory 200 streams, embedder loaded"] = here.report.knowing[-1].peak_mb


def rounds(here: Field, asked: list[tuple[Target, Server | None]], crowds: tuple[int, ...], into: list[Cell]) -> None:
    """Each crowd at each target in turn, as many rounds as planned."""
    expected = wanted_words(here.model_port, "steady")
    cells = {(crowd, target.name): Cell(target.name, crowd) for crowd, (target, _) in every_pair(crowds, asked)}
    into.extend(cells.values())
    for _, server in asked:
        if server:
            server.weigh_idle()
    for number, crowd in every_pair(range(here.plan.rounds), crowds):
        for target, server in asked:
            say(f"round {number + 1}: {crowd} visitors at {target.name}")
            measure(cells[crowd, target.name], target, server, here.plan.turns, TURN_SECONDS, expected)


def warm_up(here: Field, server: Server, client: str) -> None:
    """A few turns that are not counted: first calls import, compile and connect. Raises RuntimeError when none succeeds."""
    load = drive(product_target(server.port, here.home.keys[client], user="warm-{}"), 8, 1, 0.5)
    if not load.good:
        raise RuntimeError(f"Shaman does not answer: {load.errors()[0]}")


def stored(here: Field) -> None:
    """`instant-20`, 32 visitors at once, each turn stored: turns a second by the clock."""
    with relay(here.model.base_url) as bare, here.home.server("instant-20") as shaman:
        warm_up(here, shaman, PLAIN)
        asked: list[tuple[Target, Server | None]] = [
            (model_target(here.model_port, "instant-20"), None),
            (relay_target(bare.port, "instant-20"), bare),
            (product_target(shaman.port, here.home.keys[PLAIN], user="quick-{}"), shaman),
        ]
        expected = wanted_words(here.model_port, "instant-20")
        cells = [Cell(target.name, 32) for target, _ in asked]
        here.report.instant.extend(cells)
        for number in range(here.plan.rounds):
            for cell, (target, server) in zip(cells, asked, strict=True):
                say(f"round {number + 1}: 32 visitors without pause at {target.name}")
                measure(cell, target, server, here.plan.instant_turns, 0.0, expected)


def long_conversation(here: Field) -> None:
    """A turn in a conversation of 2,000 messages against one in a young conversation, alternately, one at a time."""
    plan, figures = here.plan, here.report.figures
    with here.home.server("instant-1") as shaman:
        key = here.home.keys[PLAIN]
        old = product_target(shaman.port, key, user="old")
        young = product_target(shaman.port, key, user="young-{}")
        say(f"making a conversation of {plan.long_messages} messages")
        made = drive(old, 1, plan.long_messages // 2, 0.0)
        drive(young, plan.pairs, 1, plan.pairs / 100)
        say(f"{plan.pairs} turns in it, and as many in young ones")
        pairs = asyncio.run(alternate(old, young, plan.pairs))
        here.report.notes.extend(made.errors()[:1])
        took = [[(turn.ended - turn.started) * 1000 for turn in turns] for turns in pairs]
        figures["turn in a young conversation, ms"] = percentile(took[1], 0.5)
        figures["turn in a conversation of 2,000 messages, ms"] = percentile(took[0], 0.5)
        figures["added by 2,000 messages, ms"] = percentile(took[0], 0.5) - percentile(took[1], 0.5)


async def alternate(old: Target, young: Target, pairs: int) -> tuple[list[Turn], list[Turn]]:
    """One after the other, the order turned round each time."""
    at_old: list[Turn] = []
    at_young: list[Turn] = []
    for number in range(pairs):
        for first in (True, False) if number % 2 else (False, True):
            (at_old if first else at_young).append(await ask(old if first else young, number, 1))
    return at_old, at_young


def second_start(here: Field) -> None:
    """`make run` in a folder of its own, twice; the second is timed to the chat page, then to an answer of the built-in answerer."""
    env = {"INSTANCE": str(here.home.folder / "run"), "HOST": "127.0.0.1", "CHAT_RATE_LIMIT": "1000 per minute"}
    env |= {"DATABASE_URL": "", "OPENAI_BASE_URL": "", "OPENAI_API_KEY": ""}
    port = free_port()
    log = here.home.folder / "run.log"
    say("make run, twice")
    first = Server("make run", ["make", "--silent", "run"], "/readyz", env, port, log)
    first.start()
    time.sleep(2.0)
    first.stop()
    second = Server("make run", ["make", "--silent", "run"], "/chat/demo", env, port, log)
    began = time.monotonic()
    here.report.figures["second make run to the first page, s"] = second.start()
    load = drive(visitor_target(port), 1, 1, 0.0)
    here.report.figures["second make run to the first answer, s"] = time.monotonic() - began
    here.report.notes.extend(load.errors())
    second.stop()
