"""What the start waits for, how often it tries, and what it is told to have no patience with."""

from __future__ import annotations

import contextlib
import errno
import socket
import time
from typing import TYPE_CHECKING, Any

import pytest
from tests.pipeline.conftest import Log
from tests.pipeline.runs import tick

from mlu_agent.config import PublishConfig, SourceConfig
from mlu_agent.config.files import may_pass
from mlu_agent.daemon import waiting
from mlu_agent.daemon.service import Notifications
from mlu_agent.daemon.waiting import Patience, Settling
from mlu_agent.errors import DataError, UserError, passing
from mlu_agent.ledger import SinkAccount, SourceAccount
from mlu_agent.publish import endpoint
from mlu_agent.publish.endpoint import EndpointInUse
from mlu_agent.publish.publisher import Publisher
from mlu_agent.sources import Exchange, Source, SourceState, make_capture

if TYPE_CHECKING:
    from pathlib import Path


class Clock:
    """Seconds that pass only in sleep."""

    def __init__(self, monkeypatch: pytest.MonkeyPatch) -> None:
        self.now = 1000.0
        monkeypatch.setattr(waiting.time, "monotonic", lambda: self.now)

    def sleep(self, until: float) -> None:
        self.now = until


def failing(*errors: Exception | None) -> Any:
    """A function that raises one after the other, or succeeds."""
    left = list(errors)

    def make() -> str:
        error = left.pop(0)
        if error is not None:
            raise error
        return "made"

    return make


def test_what_may_pass_is_tried_every_two_seconds_and_said_every_ten_minutes(monkeypatch):
    """The log is not filled by a mount that takes an hour; another reason is said at once."""
    clock, log = Clock(monkeypatch), Log()
    patience = Patience(log, Notifications("", ""), clock.sleep)
    gone = passing(UserError("it is gone"))
    assert patience.until(failing(*[gone] * 400, passing(UserError("another")), None)) == "made"
    assert clock.now == 1000.0 + 401 * 2.0
    said = [fields.get("reason") for event, fields in log.calls if event == "waiting"]
    assert said == ["it is gone", "it is gone", "another"]
    assert log.calls[-1][0] == "what was waited for is there"


def test_what_will_not_pass_is_told_at_once(monkeypatch):
    """A person has to change it."""
    clock = Clock(monkeypatch)
    with pytest.raises(UserError, match="wrong"):
        Patience(Log(), Notifications("", ""), clock.sleep).until(failing(UserError("wrong")))
    assert clock.now == 1000.0


def test_an_endpoint_in_use_is_waited_for_only_if_somebody_else_starts_us(monkeypatch, tmp_path: Path):
    """By hand it is told: the other one may well be the service."""
    clock = Clock(monkeypatch)
    taken = passing(EndpointInUse("taken"))
    with pytest.raises(EndpointInUse):
        Patience(Log(), Notifications("", ""), clock.sleep).until(failing(taken, None))
    managed = Notifications(str(tmp_path / "notify"), "")
    assert Patience(Log(), managed, clock.sleep).until(failing(taken, None)) == "made"
    managed.close()


def test_a_model_is_wrong_for_good_only_if_its_files_stay_as_they_are(tmp_path: Path):
    """What is being copied grows; the files of another kind beside it do not matter."""
    model = tmp_path / "a.cambricon"
    model.write_bytes(b"1")
    load = Settling(model, failing(*[DataError("wrong") for _ in range(4)]))
    for step in range(3):
        with pytest.raises(DataError) as raised:
            load()
        assert raised.value.passes, step
        model.write_bytes(b"1" * (step + 2))
    (tmp_path / "other").write_bytes(b"")
    load._stamps = waiting._stamps(tmp_path)
    with pytest.raises(DataError) as raised:
        load()
    assert not raised.value.passes


def test_an_address_that_this_machine_does_not_have_may_come():
    """With its network; 192.0.2.0/24 belongs to nobody."""
    with pytest.raises(UserError) as raised:
        Publisher(PublishConfig("tcp://192.0.2.1:5557", insecure=True), SinkAccount(), Log())
    assert raised.value.passes


@pytest.mark.parametrize(
    "number",
    [errno.EIO, errno.ESTALE, errno.EHOSTUNREACH, errno.ENETUNREACH, errno.ETIMEDOUT, errno.EMFILE, errno.ENOMEM],
)
def test_a_file_server_that_does_not_answer_may_come_back(number: int):
    """And memory and descriptors may be free again: none of it is a mistake that a person made."""
    assert may_pass(OSError(number, "no"))
    assert not may_pass(PermissionError(errno.EACCES, "no"))
    assert not may_pass(IsADirectoryError(errno.EISDIR, "no"))


def test_without_a_descriptor_an_endpoint_is_waited_for(monkeypatch, tmp_path: Path):
    """Others of the machine may have them all just now."""

    def none_left(*_: Any) -> None:
        raise OSError(errno.EMFILE, "Too many open files")

    monkeypatch.setattr(endpoint.socket, "socket", none_left)
    with pytest.raises(UserError) as raised:
        endpoint.listening_socket(f"ipc://{tmp_path}/out.sock")
    assert raised.value.passes


def test_a_name_that_is_not_known_yet_is_waited_for():
    """Names come with the network."""
    with pytest.raises(UserError) as raised:
        endpoint.listening_socket("tcp://no-such-host.invalid:5557")
    assert raised.value.passes


def test_a_socket_of_which_too_many_ask_is_in_use(tmp_path: Path):
    """A full queue is somebody's, and never taken for what a dead process left."""
    path = tmp_path / "busy.sock"
    with contextlib.ExitStack() as stack:
        listener = stack.enter_context(socket.socket(socket.AF_UNIX))
        listener.bind(str(path))
        listener.listen(0)
        while True:
            peer = stack.enter_context(socket.socket(socket.AF_UNIX))
            peer.setblocking(False)
            try:
                peer.connect(str(path))
            except BlockingIOError:
                break
        assert endpoint.listens(path)


def test_a_camera_whose_name_nobody_knows_is_lost_and_tried_again():
    """The network, or its name server, may come: it is never failed for good. A stream and a snapshot alike."""
    for kind, address in (("url", "rtsp://no-such-host.invalid/x"), ("snapshot", "http://no-such-host.invalid/x.jpg")):
        config = SourceConfig("gate", kind, address, reconnect_min_s=0.05, reconnect_max_s=0.1)
        made = Source(
            config, make_capture(config), Exchange[Any]().mailbox("gate", True), SourceAccount(), lambda _: None
        )
        made.start()
        tick(made, SourceState.LOST)
        assert made.status.code == "unreachable"
        assert "known to no name server" in made.status.reason
        deadline = time.monotonic() + 30
        while made.account.counters()["reconnects"] < 2 and time.monotonic() < deadline:
            time.sleep(0.02)
        assert made.account.counters()["reconnects"] >= 2
        assert made.status.state is SourceState.LOST
        made.stop()
        assert made.join(10)
