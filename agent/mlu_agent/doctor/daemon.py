"""The running daemon, as it tells by its control socket how it is: nothing that it has is touched."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from ..sources.base import Reason
from .cameras import remedy
from .finding import Finding, fine, note, trouble

if TYPE_CHECKING:
    from collections.abc import Iterable, Mapping

AREA = "daemon"
PICTURES = {
    "frozen": "restart the camera: it repeats one picture; a scene that never moves wants [source.watch] frozen_s = 0",
    "black": "take the lid off, give it light, look at exposure and infrared mode on the camera's page",
    "covered": "clean the lens, and look what hangs or stands before it",
    "moved": "turn the camera back, or restart the daemon if the new view is wanted",
}
ENDINGS = {"lost": Reason.BROKEN, "stalled": Reason.SILENT, "failed": Reason.BROKEN}  # of states that say no reason
LOG = "`journalctl -u mlu-agent -p warning` has the story"


def judge(status: Mapping[str, Any]) -> list[Finding]:
    """``status``: what the daemon answered. KeyError and TypeError if it is none."""
    agent = status["agent"]
    found = [_phase(agent)]
    found += [judge_source(source) for source in status["sources"]]
    found += _device(status["device"])
    found += _changes(status["changes"])
    if agent["log_lost"]:
        remedy = "make room on the disk of the log, and see that whoever reads it (journald) runs"
        found.append(trouble(AREA, "log-lost", f"{agent['log_lost']} log lines could not be written", remedy))
    return found


def judge_silence(sentence: str) -> list[Finding]:
    """Of a daemon that listens and did not answer, or not to this user."""
    if "permission denied" in sentence:
        return [note(AREA, sentence)]
    remedy = f"`systemctl restart mlu-agent`; {LOG}, and SIGQUIT makes it say where each thread is"
    return [trouble(AREA, "daemon-silent", f"the daemon runs and does not answer: {sentence}", remedy)]


def left_alone(why: str) -> Finding:
    """Of a daemon that seems to run and told nothing: what nobody has looked at for that."""
    remedy = "stop it for a look at all of it, or let it be asked (control.socket, `mlu-agent status`)"
    return note(AREA, f"sources and device were not looked at, a daemon may have them: {why}", remedy)


def _phase(agent: Mapping[str, Any]) -> Finding:
    who = f"mlu-agent {agent['version']}, pid {agent['pid']}, up {agent['uptime_s']:.0f} s"
    if agent["phase"] == "serving":
        return fine(AREA, f"{who}: serving")
    found = f"{who}: {agent['phase']}: {agent['reason']}"
    return trouble(AREA, "daemon-waits", found, f"give it what it waits for; {LOG}")


def judge_source(source: Mapping[str, Any]) -> Finding:
    """One source, as the daemon tells of it."""
    area, state, code = f"source {source['id']}", source["state"], source["code"]
    found = f"{source['kind']} {source['location']} is {state}: {source['reason']}"
    if state == "live":
        return fine(area, f"{found}, {source['fps_published']:.1f} frames/s")
    if state in PICTURES:
        return trouble(area, f"source-{state}", found, PICTURES[state])
    if state in ENDINGS:
        known = code in {reason.value for reason in Reason}
        reason = Reason(code) if known else ENDINGS[state]
        return trouble(area, f"source-{reason.value.replace('_', '-')}", found, remedy(reason, source["reason"]))
    return note(area, found)


def _device(health: Mapping[str, Any]) -> Iterable[Finding]:
    if health["state"] != "ok":
        found = f"the device is {health['state']}: {health['reason']}"
        remedy = f"look at the findings of the driver; {LOG}; cool the device, power the box off and on"
        yield trouble("device", "device-suspect", found, remedy)


def _changes(changes: Iterable[Mapping[str, Any]]) -> Iterable[Finding]:
    """The last one, if it was refused: what was before goes on."""
    for last in list(changes)[:1]:
        if not last["ok"]:
            found = f"the last {last['what']} was refused: {last['came_to']}"
            yield trouble(AREA, "change-refused", found, "mend that and ask again: what was before goes on meanwhile")
