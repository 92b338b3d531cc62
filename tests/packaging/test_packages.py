"""The .debs, as far as a minute allows: locks, pages, scripts, and a small package made by the same steps twice.

The packages themselves are made by ``make packages``, and tried in booted machines by ``make boot-test PACKAGES=...``.
"""

from __future__ import annotations

import argparse
import hashlib
import importlib.metadata
import json
import re
import shlex
import subprocess
import sys
import zipfile
from pathlib import Path

import pytest

from mlu_agent import cli, command_line

ROOT = Path(__file__).resolve().parents[2]
PACKAGES = ROOT / "systemd" / "packages"
SCRIPTS = ("postinst", "prerm", "postrm")


@pytest.fixture(scope="module")
def steps():
    """The modules of systemd/packages, which are scripts of the checkout."""
    sys.path.insert(0, str(PACKAGES))
    try:
        import clibrary
        import deb
        import pages
        import releases
        import steps
        import wheels
    finally:
        sys.path.remove(str(PACKAGES))
    modules = {"clibrary": clibrary, "deb": deb, "pages": pages, "releases": releases, "steps": steps, "wheels": wheels}
    return argparse.Namespace(**modules)


def _locked(path: Path) -> dict[str, int]:
    """Distributions of a lock, and how many digests each has."""
    entries = re.split(r"\n(?=\w)", re.sub(r"^#.*\n", "", path.read_text()))
    return {entry.partition("==")[0]: entry.count("--hash=sha256:") for entry in entries}


def test_each_release_has_a_lock_that_holds_what_is_required(steps):
    """Everything that agent and client ask for, by version and digest, for both processors or for any."""
    wanted = {re.match(r"[\w-]+", line)[0].lower() for line in importlib.metadata.requires("mlu-agent")
              if "extra" not in line or re.search(r"extra == .(metrics|sign).", line)}  # fmt: skip
    for release in steps.releases.RELEASES:
        locked = _locked(steps.wheels.lock(release.python))
        minor = int(release.python.partition(".")[2])
        lacks = {name.replace("_", "-") for name in wanted} - locked.keys() - {"mlu-client"}
        assert lacks <= (set() if minor < 11 else {"tomli"}), release
        assert set(locked.values()) <= {1, 2}
        assert locked["numpy"] == locked["av"] == locked["pyzmq"] == 2


@pytest.mark.deb
def test_an_upgrade_of_the_distribution_upgrades_the_package(steps):
    """dpkg orders the versions of one commit by release, and every one of a commit below that of its tag."""
    versions = [f"0.1.0-1~{release.suffix}" for release in steps.releases.RELEASES]
    for older, newer in [("0.1.0~git20261128120000.aaaaaaaa-1~deb13", versions[0]), *zip(versions[:3], versions[1:3])]:
        command = ["dpkg", "--compare-versions", older, "lt", newer]
        assert subprocess.run(command, check=False).returncode == 0, (older, newer)


def _commands(parser: argparse.ArgumentParser) -> dict[str, argparse.ArgumentParser]:
    """By name, and those of a command that has some of its own (`service install`) as well."""
    found: dict[str, argparse.ArgumentParser] = {}
    for action in parser._actions:
        if isinstance(action, argparse._SubParsersAction):
            for name, command in action.choices.items():
                found[name] = command
                found.update({f"{name} {inner}": each for inner, each in _commands(command).items()})
    return found


def test_the_manual_and_the_completions_know_every_command_and_option(steps):
    """They are made from the parser, and an option that is not in them could not be found by anybody."""
    texts = {
        "manual": steps.pages.manual("1"),
        "bash": steps.pages.completion("bash"),
        "zsh": steps.pages.completion("zsh"),
    }
    commands = _commands(command_line.parser(cli.program(), (), whole=True))
    assert cli.COMMANDS.keys() | {"service install", "service remove"} <= commands.keys()
    for name, command in commands.items():
        options = {option for action in command._actions for option in action.option_strings if option[:2] == "--"}
        for kind, text in texts.items():
            plain = text.replace("\\-", "-")
            assert name.split()[-1] in plain, (kind, name)
            assert {option for option in options - {"--help"} if option not in plain} == set(), (kind, name)


def test_the_manual_of_the_configuration_says_all_that_the_delivered_one_says(steps):
    """No line is read by roff as a command of its own."""
    sample = (ROOT / "systemd" / "mlu-agent.toml").read_text()
    page = steps.pages.configuration_manual(sample, "1")
    body = page.partition(".nf\n")[2].partition("\n.fi")[0]
    assert body.replace("\\&", "").replace("\\-", "-").replace("\\e", "\\") == sample.rstrip("\n")
    assert not [line for line in body.splitlines() if line.startswith((".", "'"))]


@pytest.mark.parametrize("name", SCRIPTS)
def test_maintainer_scripts_are_shell_and_stop_at_errors(name: str):
    """`sh -n` reads them, and they begin with `set -e`."""
    path = PACKAGES / "scripts" / name
    subprocess.run(["sh", "-n", path], check=True)
    assert path.read_text().startswith("#!/bin/sh\nset -e\n")


def test_nothing_of_the_package_starts_or_enables_a_new_service():
    """Whoever installs it has no model yet: the sentence at the end says what to do."""
    text = (PACKAGES / "scripts" / "postinst").read_text()
    commands = [line for line in text.splitlines() if "echo" not in line]
    assert not [line for line in commands if re.search(r"systemctl (--now |enable|start)|invoke start", line)]
    assert "systemctl enable --now mlu-agent" in text


@pytest.fixture(scope="module")
def package(steps, tmp_path_factory):
    """A function that makes a .deb by the real steps of a wheel with no code; returns its path."""
    work = tmp_path_factory.mktemp("packages")
    wheel = work / "mlu_agent-0.1.0-py3-none-any.whl"
    metadata = "Metadata-Version: 2.4\nName: mlu-agent\nVersion: 0.1.0\nLicense-Expression: Apache-2.0\n"
    with zipfile.ZipFile(wheel, "w") as archive:
        archive.writestr("mlu_agent/cli.py", "def main():\n    return 7\n")
        archive.writestr("mlu_agent/tests/test_x.py", "")
        archive.writestr("mlu_agent-0.1.0.dist-info/METADATA", metadata)
        archive.writestr("mlu_agent-0.1.0.dist-info/RECORD", "")
    steps.pages.write(work / "pages", ROOT / "systemd" / "mlu-agent.toml", "0.1.0")
    commit = steps.steps.Commit(ROOT, 1_700_000_000, "0.1.0", "0.1.0")

    def make(name: str) -> Path:
        with pytest.MonkeyPatch.context() as patch:
            patch.setattr(steps.wheels, "locked", lambda *_: [])
            release, processor = steps.releases.RELEASES[1], steps.releases.PROCESSORS[0]
            return steps.deb.build(commit, release, processor, [wheel], work, work / name, 0)

    return make


@pytest.mark.readelf
@pytest.mark.deb
def test_the_same_input_gives_the_same_package(package):
    """Byte for byte, with its bill of materials."""
    first, second = package("first"), package("second")
    for path in (first, first.with_suffix(".cdx.json")):
        other = second.parent / path.name
        assert hashlib.sha256(path.read_bytes()).digest() == hashlib.sha256(other.read_bytes()).digest()


def _field(package: Path, name: str) -> str:
    return subprocess.run(["dpkg-deb", "-f", package, name], capture_output=True, text=True, check=True).stdout.strip()


@pytest.mark.readelf
@pytest.mark.deb
def test_the_package_says_what_it_is_and_holds_what_a_box_needs(package, tmp_path: Path):
    """Its release's Python by name; unit, user, folders, device rules, configuration, manuals, completions."""
    made = package("held")
    assert made.name == "mlu-agent_0.1.0-1~deb12_amd64.deb"
    assert _field(made, "Depends") == "python3.11, libc6 (>= 2.31), systemd"
    assert _field(made, "Version") == "0.1.0-1~deb12"
    subprocess.run(["dpkg-deb", "-R", made, tmp_path / "tree"], check=True)
    tree = tmp_path / "tree"
    files = {str(path.relative_to(tree)) for path in tree.rglob("*") if path.is_file()}
    assert {"usr/lib/systemd/system/mlu-agent.service", "usr/lib/sysusers.d/mlu-agent.conf",
            "usr/lib/tmpfiles.d/mlu-agent.conf", "usr/lib/udev/rules.d/70-mlu-agent.rules",
            "etc/mlu-agent/mlu-agent.toml",
            "usr/share/man/man1/mlu-agent.1.gz", "usr/share/man/man5/mlu-agent.toml.5.gz", "usr/bin/mlu-agent",
            "usr/share/bash-completion/completions/mlu-agent", "usr/share/zsh/vendor-completions/_mlu-agent",
            "usr/share/doc/mlu-agent/copyright", "usr/share/doc/mlu-agent/sbom.cdx.json",
            "usr/share/doc/mlu-agent/service.md", *(f"DEBIAN/{name}" for name in SCRIPTS)} <= files  # fmt: skip
    assert not [name for name in files if "/tests/" in name or name.endswith(("RECORD", ".pyc"))]
    assert (tree / "DEBIAN" / "conffiles").read_text() == "/etc/mlu-agent/mlu-agent.toml\n"
    assert (tree / "usr/bin/mlu-agent").read_text().startswith("#!/usr/bin/python3.11 -I\n")
    assert "python3.11 -m compileall" in (tree / "DEBIAN" / "postinst").read_text()
    bill = json.loads((tree / "usr/share/doc/mlu-agent/sbom.cdx.json").read_text())
    assert [(each["name"], each["version"]) for each in bill["components"]] == [("mlu-agent", "0.1.0")]


def test_a_library_from_nowhere_ends_the_build(steps, tmp_path: Path):
    """A wheel that needs a system's library that no Depends names would fail on the box, and not here."""
    with pytest.raises(SystemExit, match=r"x\.so needs libusb-1\.0\.so\.0, and deb\.py does not know"):
        steps.deb._owner(tmp_path / "x.so", "libusb-1.0.so.0")
    assert steps.deb._owner(tmp_path / "x.so", "libstdc++.so.6") == "libstdc++6"
    assert steps.deb._owner(tmp_path / "x.so", "libm.so.6") == ""


@pytest.mark.cc
@pytest.mark.readelf
def test_the_library_that_holds_nothing_is_looked_at_like_the_other(steps, tmp_path: Path):
    """libcndrv.so may need nothing but the C library; versions of that and kernels it has none."""
    amd64 = steps.releases.PROCESSORS[0]
    command = ["cc", "-shared", "-nostdlib", "-Wl,--no-as-needed", "-xc", "/dev/null", "-xnone", f"-L{tmp_path}"]
    for name in ("libmore.so", *steps.clibrary.LIBRARIES):
        subprocess.run([*command, "-o", tmp_path / name], check=True)
    steps.clibrary.check(tmp_path / "libcndrv.so", amd64)
    with pytest.raises(SystemExit, match=r"libcnrt\.so lacks the kernels amx, avx2,"):
        steps.clibrary.check(tmp_path / "libcnrt.so", amd64)
    subprocess.run([*command, "-lmore", "-o", tmp_path / "libcndrv.so"], check=True)
    with pytest.raises(SystemExit, match=r"libcndrv\.so needs libmore\.so"):
        steps.clibrary.check(tmp_path / "libcndrv.so", amd64)


def test_the_page_for_operators_names_no_command_or_option_that_there_is_not():
    """Each line of docs/operate.md that calls it is read by its parser; `make boot-test PACKAGES=...` runs them."""
    lines = re.findall(r"^    (mlu-agent .*)$", (ROOT / "docs" / "operate.md").read_text(), re.MULTILINE)
    assert len(lines) >= 6
    for line in lines:
        words = shlex.split(line.partition("#")[0].replace("|| true", ""))[1:]
        command_line.parser(cli.program(), words).parse_args(words)
