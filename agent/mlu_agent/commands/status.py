"""``mlu-agent status``: how a running daemon is, for a person or a program."""

from __future__ import annotations

import os
import sys
import textwrap
import time
from typing import TYPE_CHECKING, Any

from mlu_client.text import printable, printable_json

from ..errors import MluAgentError, RuntimeFailure, UserError
from .asking import ask, declare_place, place_of

if TYPE_CHECKING:
    import argparse
    from collections.abc import Iterator
    from pathlib import Path

TIMEOUT_S = 10.0
WATCH_S = 2.0
LEAST_WATCH_S, MOST_WATCH_S = 0.1, 86400.0
BROKEN = ("lost", "stalled", "failed")  # states of sources that make the exit code 1
DOUBTFUL = ("frozen", "black", "covered", "moved", "connecting", "paused")
WIDTH = 80
LONGEST_ID = 20
BESIDE_ID = 43  # letters of the columns between a source's id and what was dropped
CLEAR = "\033[H\033[2J"
RED, YELLOW, GREEN, PLAIN = "\033[31m", "\033[33m", "\033[32m", "\033[0m"


def declare(parser: argparse.ArgumentParser) -> None:
    """The arguments of the command."""
    declare_place(parser)
    parser.add_argument("--json", action="store_true", help="one JSON object")
    parser.add_argument(
        "--watch", type=float, nargs="?", const=WATCH_S, metavar="SECONDS", help=f"again and again, every {WATCH_S:g} s"
    )


def run(arguments: argparse.Namespace) -> int:
    """0 all is well; 1 if a source is lost, stalled or failed, a device is not ok, a bundle is refused, or the daemon
    does not serve; 3 if no daemon answers."""
    path, watch_s = place_of(arguments), arguments.watch
    if watch_s is None:
        return show(path, as_json=arguments.json)
    if not LEAST_WATCH_S <= watch_s <= MOST_WATCH_S:
        raise UserError(f"--watch {watch_s:g}: give {LEAST_WATCH_S:g} to {MOST_WATCH_S:g} seconds")
    while True:
        _show_again(path, as_json=arguments.json)
        time.sleep(watch_s)


def _show_again(path: Path, *, as_json: bool) -> None:
    """Under the time, on a terminal in the place of what stood there. A daemon that does not answer may be starting."""
    if not as_json:
        print(f"{CLEAR if _is_terminal() else ''}{time.strftime('%H:%M:%S')}")
    try:
        show(path, as_json=as_json)
    except MluAgentError as error:
        print(printable_json({"error": error.message}) if as_json else printable(error.message))
    sys.stdout.flush()


def show(path: Path, *, as_json: bool) -> int:
    """Prints how the daemon at ``path`` is; the exit code."""
    status = ask(path, TIMEOUT_S, do="status").get("status", {})
    try:
        lines = table(status, colours=_is_terminal())
        code = int(is_troubled(status))
    except (KeyError, TypeError, ValueError, AttributeError):
        raise RuntimeFailure(f"{path}: what listens there is no mlu-agent of this version") from None
    print(printable_json(status) if as_json else "\n".join(lines))
    return code


def is_troubled(status: dict[str, Any]) -> bool:
    """Whether somebody should look after it."""
    well = status["agent"]["phase"] == "serving" and status["device"]["state"] == "ok"
    refused = any(model["refused"] for model in status["models"])
    return not well or refused or any(source["state"] in BROKEN for source in status["sources"])


def table(status: dict[str, Any], *, colours: bool = False) -> list[str]:
    """For a person: no line is longer than WIDTH letters but for names that are."""
    agent = status["agent"]
    lines = _told("agent", f"{agent['version']} on {agent['box']}, {agent['phase']}, pid {agent['pid']}, "
                  f"up {duration(agent['uptime_s'])}")  # fmt: skip
    lines += _told("", agent["reason"]) if agent["reason"] else []
    lines += _told("publishes", agent["endpoint"]) if agent["endpoint"] else []
    for model in status["models"]:
        lines += _told("model", f"{model['name']}: {model['model']} ({model['sha256'][:12]}), {model['device']}, "
                       f"{model['cores']} cores, {_state(model['health'])}")  # fmt: skip
        lines += _told("", model["path"])
        if model.get("refused"):
            lines += _told("", f"refused, and the last good one serves: {model['refused']}")
    lines += _told("device", _state(status["device"])) if status["device"]["state"] != "ok" else []
    if status["sources"]:
        several = len(status["models"]) > 1
        lines += ["", *_sources(status["sources"], several=several, colours=colours)]
    lines += [""] if status["changes"] or agent["log_lost"] else []
    for change in status["changes"][:3]:
        said = change["ok"] or "refused" in change["came_to"]
        came_to = change["came_to"] if said else f"refused: {change['came_to']}"
        lines += _told("changed", f"{clock(change['when_ns'])} {change['what']} ({change['who']}): {came_to}")
    lines += _told("log", f"{agent['log_lost']} lines were lost") if agent["log_lost"] else []
    return lines


def _state(health: dict[str, Any]) -> str:
    return f"{health['state']}: {health['reason']}" if health["reason"] else str(health["state"])


def _told(word: str, sentence: str, indent: int = 10) -> list[str]:
    """A sentence behind a word, over as many lines as it needs."""
    rows = textwrap.wrap(printable(sentence), WIDTH - indent, break_long_words=False, break_on_hyphens=False)
    return [f"{word if number == 0 else '':<{indent}}{row}" for number, row in enumerate(rows)]


def _sources(sources: list[dict[str, Any]], *, several: bool, colours: bool) -> Iterator[str]:
    """``several``: models, so that each source tells its own."""
    names = [_short(printable(source["id"])) for source in sources]
    width = max(6, *map(len, names))
    yield f"{'SOURCE':<{width}}  {'STATE':<10}  {'SINCE':<11}  {'FPS':>6}  {'MS':>6}  DROPPED"
    for name, source in zip(names, sources):
        state = _painted(f"{printable(source['state']):<10}", source["state"], colours)
        rates = f"{source['fps_published']:>6.1f}  {source['latency_ms']:>6.0f}"
        head = f"{name:<{width}}  {state}  {clock(source['since_ns']):<11}  {rates}  "
        first, *rest = textwrap.wrap(_dropped(source["counters"]), WIDTH - width - BESIDE_ID)
        yield head + first
        yield from (" " * (width + BESIDE_ID) + row for row in rest)
        yield from _told("", f"looked at by {source['model']}", 4) if several else ()
        if source["state"] != "live":
            code = f" ({source['code']})" if source["code"] else ""
            yield from _told("", f"{source['reason']}{code}", 4)


def _dropped(counters: dict[str, int]) -> str:
    start = "dropped_"
    reasons = {name[len(start) :]: count for name, count in counters.items() if name.startswith(start) and count}
    told = [f"{count} {name}" for name, count in reasons.items()]
    told += [f"{counters['failed']} failed"] if counters["failed"] else []
    return ", ".join(told) or "0"


def _short(name: str) -> str:
    return name if len(name) <= LONGEST_ID else name[: LONGEST_ID - 1] + "…"


def _painted(text: str, state: str, colours: bool) -> str:
    colour = RED if state in BROKEN else YELLOW if state in DOUBTFUL else GREEN if state == "live" else ""
    return f"{colour}{text}{PLAIN}" if colours and colour else text


def _is_terminal() -> bool:
    return sys.stdout.isatty() and not os.environ.get("NO_COLOR") and os.environ.get("TERM") != "dumb"


def clock(wall_ns: int) -> str:
    """A time of today, or of a day, on this machine."""
    then, now = time.localtime(wall_ns / 1e9), time.localtime()
    return time.strftime("%H:%M:%S" if then[:3] == now[:3] else "%m-%d %H:%M", then)


def duration(seconds: float) -> str:
    """In two units at most."""
    minutes, rest = divmod(int(seconds), 60)
    hours, minutes = divmod(minutes, 60)
    days, hours = divmod(hours, 24)
    if days:
        return f"{days} d {hours} h"
    if hours:
        return f"{hours} h {minutes} min"
    return f"{minutes} min {rest} s" if minutes else f"{rest} s"
