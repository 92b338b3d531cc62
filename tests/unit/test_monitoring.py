"""deploy/monitoring: alert rules and a dashboard that ask for figures which there are."""

from __future__ import annotations

import json
import re
import shutil
import subprocess

import pytest

from mlu_agent.daemon.metrics import METRICS
from mlu_agent.sources import SourceState

OURS = re.compile(r"mlu_agent_\w+")
EXPRESSION = re.compile(r"^        expr: (.*)$", re.MULTILINE)
ALERT = re.compile(r"^      - alert: (\w+)$", re.MULTILINE)


def _names():
    """Every series' name with the labels that it has, histograms in their three parts."""
    names = {}
    for metric in METRICS:
        parts = ("_bucket", "_sum", "_count") if metric.kind == "histogram" else ("",)
        for part in parts:
            names[metric.full_name + part] = {*metric.labels, "instance", "job", *(["le"] if part == "_bucket" else [])}
    return names


def _wrong(expression):
    """What an expression asks for that there is not: metrics, and labels of a metric's selector."""
    names = _names()
    wrong = {name for name in OURS.findall(expression) if name not in names}
    for name, selector in re.findall(r"(mlu_agent_\w+)\{([^}]*)\}", expression):
        wrong |= {f"{name}.{label}" for label in re.findall(r"(\w+)=", selector)} - {
            f"{name}.{label}" for label in names.get(name, ())
        }
    return wrong


@pytest.fixture(scope="module")
def folder(root):
    return root / "deploy" / "monitoring"


@pytest.fixture(scope="module")
def dashboard(folder):
    return json.loads((folder / "dashboard.json").read_text())


def test_rules_ask_for_figures_that_there_are(folder):
    """Metrics, labels, and words of states."""
    expressions = EXPRESSION.findall((folder / "alerts.yml").read_text())
    assert len(expressions) == len(ALERT.findall((folder / "alerts.yml").read_text())) > 10
    assert {wrong for expression in expressions for wrong in _wrong(expression)} == set()
    states = {state.value for state in SourceState}
    named = [
        word
        for words in re.findall(r'source_state\{state=~?"([^"]*)"', "\n".join(expressions))
        for word in words.split("|")
    ]
    assert set(named) <= states


def test_every_alert_has_a_test_of_coming_and_of_a_box_in_order(folder):
    """promtool runs them where there is one; that none is left out is seen everywhere."""
    alerts = set(ALERT.findall((folder / "alerts.yml").read_text()))
    in_order, *wrong = re.split(r"^  - name: ", (folder / "alerts_test.yml").read_text(), flags=re.MULTILINE)[1:]
    assert set(re.findall(r"alertname: (\w+)", in_order)) == alerts
    assert set(re.findall(r"alertname: (\w+)\n +exp_alerts", "".join(wrong))) == alerts


@pytest.mark.promtool
def test_promtool_finds_no_fault_in_rules_and_configuration(folder, tmp_path):
    """Syntax, and each alert in its time."""
    for file in folder.glob("*.yml"):
        shutil.copy(file, tmp_path)
    for words in (
        ["check", "config", "prometheus.yml"],
        ["check", "rules", "alerts.yml"],
        ["test", "rules", "alerts_test.yml"],
    ):
        done = subprocess.run(["promtool", *words], cwd=tmp_path, capture_output=True, text=True, check=False)
        assert done.returncode == 0, done.stdout + done.stderr


def test_the_dashboard_asks_for_figures_that_there_are(dashboard):
    """In panels and variables."""
    asked = [target["expr"] for panel in dashboard["panels"] for target in panel["targets"]]
    asked += [variable["query"] for variable in dashboard["templating"]["list"]]
    assert len(asked) > 30
    assert {wrong for expression in asked for wrong in _wrong(expression)} == set()
    states = [word for expression in asked for word in re.findall(r'source_state\{[^}]*state="(\w+)"', expression)]
    assert set(states) == {state.value for state in SourceState}


def test_the_panels_of_the_dashboard_lie_beside_each_other(dashboard):
    """Each has its number, none covers another, all fit the 24 columns, and all ask the Prometheus that was chosen."""
    places = [
        (x, y)
        for grid in (panel["gridPos"] for panel in dashboard["panels"])
        for x in range(grid["x"], grid["x"] + grid["w"])
        for y in range(grid["y"], grid["y"] + grid["h"])
    ]
    assert len(places) == len(set(places))
    assert max(x for x, _ in places) == 23
    assert len({panel["id"] for panel in dashboard["panels"]}) == len(dashboard["panels"])
    assert {panel["datasource"]["uid"] for panel in dashboard["panels"]} == {"${datasource}"}
