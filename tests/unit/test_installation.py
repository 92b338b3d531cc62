"""``mlu-agent service``: which files make an installation a service, what is refused, and that it can be taken back."""

from __future__ import annotations

import re
import shutil
import subprocess
from pathlib import Path

import pytest

from mlu_agent import cli, installation
from mlu_agent.errors import UserError

SYSTEMD = Path(__file__).resolve().parents[2] / "systemd"
CONFIGURATION = Path("etc/mlu-agent/mlu-agent.toml")


@pytest.fixture
def service(tmp_path: Path, capsys):
    """Runs ``mlu-agent service ACTION --root ROOT`` on an empty system; returns its code, words and errors."""
    root = tmp_path / "root"
    root.mkdir()

    def run(*words: str, root: Path = root) -> tuple[int, str, str]:
        code = cli.main(["service", *words, "--root", str(root)])
        output = capsys.readouterr()
        return code, output.out, output.err

    run.root = root
    return run


def _files(root: Path) -> set[str]:
    return {str(path.relative_to(root)) for path in root.rglob("*") if not path.is_dir()}


def test_install_writes_what_a_service_needs(service):
    """Unit, user, folders, device rules and a first configuration: all five, in the machine's own folders."""
    code, out, _ = service("install", "--program", "/opt/mlu-agent/bin/mlu-agent")
    assert code == 0
    assert _files(service.root) == {
        "etc/systemd/system/mlu-agent.service",
        "etc/sysusers.d/mlu-agent.conf",
        "etc/tmpfiles.d/mlu-agent.conf",
        "etc/udev/rules.d/70-mlu-agent.rules",
        "etc/mlu-agent/mlu-agent.toml",
    }
    assert (service.root / CONFIGURATION).read_text() == (SYSTEMD / "mlu-agent.toml").read_text()
    assert (service.root / CONFIGURATION).stat().st_mode & 0o777 == 0o640
    assert out.count("wrote ") == 5
    assert "next     put the model where" in out


def test_the_unit_differs_from_the_delivered_one_in_its_program_alone(service):
    """ExecStart and ExecReload name this installation's program; no other line of the unit is touched."""
    service("install", "--program", "/opt/mlu-agent/bin/mlu-agent")
    made = (service.root / "etc/systemd/system/mlu-agent.service").read_text().splitlines()
    delivered = (SYSTEMD / "mlu-agent.service").read_text().splitlines()
    changed = [line for line, before in zip(made, delivered) if line != before]
    assert len(made) == len(delivered)
    assert changed == [
        "ExecStart=/opt/mlu-agent/bin/mlu-agent run -c /etc/mlu-agent/mlu-agent.toml",
        "ExecReload=/opt/mlu-agent/bin/mlu-agent ctl -c /etc/mlu-agent/mlu-agent.toml --timeout 50 reload",
    ]


@pytest.mark.parametrize(
    "path, word",
    [
        ("/opt/mlu agent/bin/mlu-agent", '"/opt/mlu agent/bin/mlu-agent"'),
        ("/opt/50%/mlu-agent", '"/opt/50%%/mlu-agent"'),
        ("/opt/$HOME/mlu-agent", '"/opt/$$HOME/mlu-agent"'),
        ('/opt/"/mlu-agent', '"/opt/\\"/mlu-agent"'),
    ],
)
def test_a_program_with_odd_letters_stays_one_word(path: str, word: str):
    """systemd splits at spaces and expands % and $: none of it happens to a path."""
    unit = installation.files(Path(path))[installation.PLACES["mlu-agent.service"]]
    assert f"ExecStart={word} run -c " in unit


def test_a_second_install_keeps_the_configuration_and_brings_the_rest_up_to_date(service):
    """An upgrade: what is the same stays, what an older version wrote is replaced, what a person wrote is kept."""
    service("install", "--program", "/opt/old/mlu-agent")
    (service.root / CONFIGURATION).write_text("# mine\n")
    code, out, _ = service("install", "--program", "/opt/new/mlu-agent")
    assert code == 0
    assert (service.root / CONFIGURATION).read_text() == "# mine\n"
    assert "/opt/new/" in (service.root / "etc/systemd/system/mlu-agent.service").read_text()
    assert [line.split()[0] for line in out.splitlines()[:5]] == ["replaced", "same", "same", "same", "kept"]


def test_remove_leaves_the_configuration(service):
    """The rest goes, a link of `systemctl enable` too; what a person wrote stays and is named."""
    service("install")
    wants = service.root / "etc/systemd/system/multi-user.target.wants"
    wants.mkdir()
    (wants / "mlu-agent.service").symlink_to("/etc/systemd/system/mlu-agent.service")
    code, out, _ = service("remove")
    assert code == 0
    assert _files(service.root) == {str(CONFIGURATION)}
    assert f"kept     {service.root / 'etc/mlu-agent'}" in out
    assert service("remove") == (0, f"nothing  no service of this kind was installed in {service.root}\n", "")


def test_purge_leaves_nothing(service):
    """Configuration, models and cache go as well."""
    service("install")
    for folder in ("var/lib/mlu-agent/model", "var/cache/mlu-agent"):
        (service.root / folder).mkdir(parents=True)
        (service.root / folder / "file").write_text("x")
    code, out, _ = service("remove", "--purge")
    assert code == 0
    assert _files(service.root) == set()
    assert not any((service.root / place).exists() for place in ("etc/mlu-agent", "var/lib/mlu-agent"))
    assert "the user mlu-agent" in out


@pytest.mark.parametrize("place", ["usr/lib/systemd/system", "lib/systemd/system"])
def test_the_service_of_a_package_is_left_alone(service, place: str):
    """Two units of one name: neither would be what its owner thinks. Refused with what to do, nothing written."""
    unit = service.root / place / "mlu-agent.service"
    unit.parent.mkdir(parents=True)
    unit.write_text("[Service]\n")
    for action in ("install", "remove"):
        code, _, err = service(action)
        assert code == 2
        assert str(unit) in err
        assert "apt-get remove mlu-agent" in err
    assert _files(service.root) == {f"{place}/mlu-agent.service"}


def test_print_writes_nothing(service):
    """Every file with its place, as it would be written."""
    code, out, _ = service("install", "--print", "--program", "/opt/mlu-agent/bin/mlu-agent")
    assert code == 0
    assert re.findall(r"^# (/etc/\S+)$", out, re.MULTILINE) == [f"/{place}" for place in installation.PLACES.values()]
    assert "ExecStart=/opt/mlu-agent/bin/mlu-agent run" in out
    assert _files(service.root) == set()


def test_nothing_can_be_started_in_an_image(service):
    """--now with --root is the user's mistake."""
    code, _, err = service("install", "--now")
    assert code == 2
    assert "--now" in err
    assert _files(service.root) == set()


def test_a_program_that_the_sandbox_hides_is_refused(tmp_path: Path, monkeypatch):
    """Below /home, /root or /tmp the service sees nothing: said before anything is written, with where to go."""
    program = tmp_path / "mlu-agent"
    program.write_text("")
    monkeypatch.setattr(installation, "HIDDEN", (tmp_path,))
    with pytest.raises(UserError, match=r"the service sees nothing below .*/opt/mlu-agent"):
        next(installation.install(Path("/"), program))


def test_a_program_that_only_its_owner_reaches_is_refused(tmp_path: Path, monkeypatch):
    """The service's user has to pass every folder on the way."""
    program = tmp_path / "closed" / "mlu-agent"
    program.parent.mkdir(mode=0o750)
    program.write_text("")
    program.chmod(0o755)
    monkeypatch.setattr(installation, "HIDDEN", ())
    with pytest.raises(UserError, match=r"only its owner may pass .*/closed;"):
        next(installation.install(Path("/"), program))
    with pytest.raises(UserError, match="there is no such program"):
        next(installation.install(Path("/"), tmp_path / "missing"))


@pytest.mark.systemd
def test_systemd_reads_the_sysusers_and_tmpfiles(service):
    """systemd-sysusers and systemd-tmpfiles take them as they are written: the user is made, the folders too."""
    service("install")
    (service.root / "etc" / "group").write_text("video:x:44:\n")
    for command in ("systemd-sysusers", "systemd-tmpfiles"):
        options = ["--create"] if command == "systemd-tmpfiles" else []
        done = subprocess.run(
            [shutil.which(command) or command, *options, f"--root={service.root}", "mlu-agent.conf"],
            capture_output=True,
            text=True,
            check=False,
        )
        assert "mlu-agent.conf:" not in done.stderr, done.stderr  # how both name a line that they do not understand
    assert re.search(r"^mlu-agent:", (service.root / "etc" / "passwd").read_text(), re.MULTILINE)
    assert re.search(r"^video:.*mlu-agent", (service.root / "etc" / "group").read_text(), re.MULTILINE)
