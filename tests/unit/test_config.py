"""The daemon's configuration."""

from __future__ import annotations

import dataclasses
from pathlib import Path

import pytest
from hypothesis import example, given, strategies as st

from mlu_agent.config import (
    ControlConfig,
    LogConfig,
    MetricsConfig,
    ModelConfig,
    PublishConfig,
    ServiceConfig,
    SourceConfig,
    is_local_endpoint,
    load_config,
    parse_config,
    parse_synthetic,
)
from mlu_agent.config.toml import parse_toml
from mlu_agent.errors import UserError

LEAST = '[model]\npath = "m.cambricon"\n[[source]]\nid = "a"\n'


TWO = """[[model]]
name = "a"
path = "a.cambricon"
[[model]]
name = "b.1"
path = "b.cambricon"
confidence = 0.5
[[source]]
id = "s"
camera = 0
"""


def problem(text: str) -> str:
    with pytest.raises(UserError) as failure:
        parse_config(text.encode(), "box.toml")
    assert failure.value.exit_code == 2
    return str(failure.value)


def test_the_documented_file_holds_every_option_at_its_default(root):
    """systemd/mlu-agent.toml: nothing missing, nothing more, each value what the code takes without it."""
    path = root / "systemd" / "mlu-agent.toml"
    written = parse_toml(path.read_bytes(), path.name, UserError)
    config = load_config(path)
    defaults = {
        "agent": {"box": ""},
        "model": {
            **dict.fromkeys(("confidence", "iou", "max_detections", "cores", "batch_wait_ms"), 0),
            "runtime": "auto",
            "name": "main",
            "trust": "",
            "require_signature": True,
        },
        "source": [dataclasses.asdict(SourceConfig("", "", ""))],
        "publish": dataclasses.asdict(PublishConfig()),
        "log": dataclasses.asdict(LogConfig()),
        "service": dataclasses.asdict(ServiceConfig()),
        "metrics": dataclasses.asdict(MetricsConfig()),
        "control": {"socket": str(ControlConfig().socket), "group": ControlConfig().group},
        "simulator": {"standins": ""},
    }
    for name in ("id", "kind", "location"):
        del defaults["source"][0][name]
    defaults["source"][0].update(user="", password="", password_file="", classes=[], roi=[0.0, 0.0, 1.0, 1.0])
    assert written["model"].pop("path")
    assert [written["source"][0].pop(name) for name in ("id", "camera")] == ["camera-1", 0]
    assert written == defaults
    bare = parse_config(LEAST.encode() + b"camera = 0\n")
    assert (
        dataclasses.replace(config.models[0], path=Path())
        == dataclasses.replace(bare.models[0], path=Path())
        == ModelConfig()
    )
    assert config.sources[0] == dataclasses.replace(bare.sources[0], id="camera-1")
    assert (config.publish, config.log, config.service) == (bare.publish, bare.log, bare.service)
    assert config.box == bare.box != ""
    assert config.simulator == bare.simulator


def test_the_folder_of_stand_ins_starts_at_the_configurations_own(tmp_path):
    """As every path of it; whether it is there matters to a simulator alone, which says so."""
    (tmp_path / "a.toml").write_text(LEAST + 'camera = 0\n[simulator]\nstandins = "stand-ins"\n')
    assert load_config(tmp_path / "a.toml").simulator.standins == tmp_path / "stand-ins"
    assert parse_config(LEAST.encode() + b"camera = 0\n").simulator.standins is None
    assert "simulator.folder" in problem(LEAST + 'camera = 0\n[simulator]\nfolder = "x"\n')


@pytest.mark.parametrize(
    "listen, sentence",
    [
        ("127.0.0.1", "'127.0.0.1' is no address; write 127.0.0.1:9464"),
        ("http://127.0.0.1:1", "is no address"),
        ("127.0.0.1:65536", "is no address"),
        ("0.0.0.0:9464", "'0.0.0.0:9464' can be read from other machines, without a password; write 127.0.0.1:PORT"),
        ("[::]:9464", "can be read from other machines"),
        ("box.example:9464", "or insecure = true if everybody on that network may see the figures"),
    ],
)
def test_figures_are_given_out_on_loopback_unless_it_is_said_to_be_insecure(listen, sentence):
    """As for the endpoint: whoever reaches them reads them."""
    text = LEAST + f'camera = 0\n[metrics]\nlisten = "{listen}"\n'
    assert f"metrics.listen: {sentence}" in problem(text) or sentence in problem(text)
    if "other machines" in sentence or "insecure" in sentence:
        assert parse_config((text + "insecure = true\n").encode()).metrics.listen == listen


@pytest.mark.parametrize("listen", ["127.0.0.1:9464", "127.8.8.8:0", "[::1]:1", "localhost:9464"])
def test_figures_may_be_given_out_on_any_loopback_address(listen):
    """By number or by name."""
    assert parse_config((LEAST + f'camera = 0\n[metrics]\nlisten = "{listen}"\n').encode()).metrics.listen == listen


@pytest.mark.parametrize("place", ["password", "password_file"])
def test_user_and_password_are_written_as_they_are(tmp_path, place):
    """The agent encodes them; a file's last end of line is none of the password."""
    (tmp_path / "secret").write_text("p@/?#%:ä\r\n" if place == "password_file" else "")
    value = "secret" if place == "password_file" else "p@/?#%:ä"
    path = tmp_path / "box.toml"
    path.write_text(LEAST + f'url = "rtsp://cam:554/s?x=1"\nuser = "a:b"\n{place} = "{value}"\n')
    source = load_config(path).sources[0]
    assert source.location == "rtsp://a%3Ab:p%40%2F%3F%23%25%3A%C3%A4@cam:554/s?x=1"
    assert "p%40" not in repr(source)
    assert source.password_file == (tmp_path / "secret" if place == "password_file" else None)


@pytest.mark.parametrize(
    "text, sentence",
    [
        ('url = "rtsp://cam/"\npassword = 77123', "password: what is written is not accepted"),
        ('url = "rtsp://cam/"\npassword = "S3kr\\n77123"', "password: what is written is not accepted"),
        ('url = "rtsp://cam/"\npassword = ["77123"]', "password: what is written is not accepted"),
        ('url = "rtsp://cam/"\npasword = "77123"', 'pasword: is not an option; did you mean "password"?'),
        ('url = "rtsp://u:77123@cam/"\nuser = "u"', "user: is written, and the url has a user or password too"),
        ('url = "rtsp://cam/"\npassword = "77123"\npassword_file = "x"', "is written beside password_file"),
        ('path = "x"\npassword = "77123"', "password: belongs to a url or a snapshot"),
        ('path = "rtsp://u:77123@cam/"', "an address belongs to url"),
        ('url = "rtsp://u:12/77123@cam/"', "%2F for /"),
        ('url = "rtsp://u:a 77123@cam/"', "a blank in it as %20"),
        ('camera = "rtsp://u:77123@cam/"', "camera: 'rtsp://***@cam/' is not accepted"),
        ('url = "rtsp://cam/"\n[publish]\nendpoint = "tcp://u:77123@x:1"', "publish.endpoint: 'tcp://***@x:1'"),
        ('url = "rtsp://cam/"\nloop = {password = "77123"}', "loop: {'password': '***'} is not accepted"),
    ],
)
def test_a_sentence_about_a_password_does_not_repeat_it(text, sentence):
    """Whatever is wrong with it, and wherever it was written by mistake."""
    message = problem(LEAST + text)
    assert sentence in message
    assert "77123" not in message


@pytest.mark.parametrize("data", [b"", b"a\nb\n", b"\xff", b"x" * 2000])
def test_a_password_file_holds_one_line(tmp_path, data):
    """Else a sentence says so, without the line."""
    (tmp_path / "secret").write_bytes(data)
    text = LEAST + f'url = "rtsp://cam/"\npassword_file = "{tmp_path}/secret"\n'
    assert f"source[0].password_file: {tmp_path}/secret: " in problem(text)


def test_a_password_file_that_is_not_there_may_come(tmp_path):
    """As a model on a mount that comes late: the service manager's next start may find it."""
    text = f'{LEAST}url = "rtsp://cam/"\npassword_file = "{tmp_path}/none"\n'
    with pytest.raises(UserError, match=r"source\[0\]\.password_file: .*none: cannot be read") as failure:
        parse_config(text.encode())
    assert failure.value.passes


def test_a_password_file_that_is_not_there_hides_no_other_problem(tmp_path):
    """All are told together, and what only a person can change is not waited for."""
    text = f'{LEAST}url = "rtsp://cam/"\npassword_file = "{tmp_path}/none"\nmax_fps = -1\n[log]\nlevel = "x"\n'
    with pytest.raises(UserError) as failure:
        parse_config(text.encode())
    told = failure.value.message.splitlines()
    assert len(told) == 3
    assert [any(word in line for line in told) for word in ("password_file", "max_fps", "log.level")] == [True] * 3
    assert not failure.value.passes


@pytest.mark.parametrize(
    "number", ["1" * 6000, "0x" + "f" * 6000, "18446744073709551616", "[[{a = -18446744073709551616}]]"]
)
def test_a_number_that_is_too_large_is_told_in_our_words(number):
    """Not with Python's advice to allow more digits, nor with an exception of whoever shows it."""
    for text in (LEAST + f"camera = 0\nmax_fps = {number}\n", f"a = {number}\n"):
        assert problem(text).startswith(
            "box.toml: not valid TOML: a number has more than TOML's 64 bits; no file that belongs here has one"
        )
        assert len(problem(text)) < 200


def test_relative_paths_start_at_the_files_folder(tmp_path):
    """So that a folder with a configuration, a model and a clip can be moved as one."""
    path = tmp_path / "box.toml"
    path.write_text(LEAST + 'path = "clips/street.mp4"\nloop = true\n')
    config = load_config(path)
    assert config.models[0].path == tmp_path / "m.cambricon"
    source = config.sources[0]
    assert (source.kind, source.location, source.loop) == ("path", str(tmp_path / "clips" / "street.mp4"), True)
    assert not source.live


@pytest.mark.parametrize(
    "line, kind, location, live",
    [
        ('url = "rtsp://user:pa%40ss@cam.local:554/1?x=1"', "url", "rtsp://user:pa%40ss@cam.local:554/1?x=1", True),
        ('snapshot = "http://u:p@cam/jpg?x=1"', "snapshot", "http://u:p@cam/jpg?x=1", True),
        ("camera = 3", "camera", "3", True),
        ('camera = "/dev/video0"', "camera", "/dev/video0", True),
        ('synthetic = "1280x720@25"', "synthetic", "1280x720@25", False),
        ('synthetic = "64x48@12.5"\nrealtime = true', "synthetic", "64x48@12.5", True),
    ],
)
def test_the_kinds_of_sources(line, kind, location, live):
    """Live sources keep the newest frame, the others drop none."""
    source = parse_config((LEAST + line).encode()).sources[0]
    assert (source.kind, source.location, source.live) == (kind, location, live)


def test_several_models_have_names_and_each_source_says_its_own():
    """In their order, since the first is that of the sources that name none."""
    config = parse_config((TWO + 'model = "b.1"\n[[source]]\nid = "t"\ncamera = 1\n').encode())
    assert [(model.name, model.path.name, model.confidence) for model in config.models] == [
        ("a", "a.cambricon", None),
        ("b.1", "b.cambricon", 0.5),
    ]
    assert [source.model for source in config.sources] == ["b.1", ""]


@pytest.mark.parametrize("header", ["[model]", "[[model]]"])
def test_one_model_needs_no_name(header):
    """It is called main, unless it says how; a source may name it either way."""
    text = LEAST.replace("[model]", header) + "camera = 0\n"
    assert parse_config((text + 'model = "main"\n').encode()).models[0].name == "main"
    named = text.replace("path", 'name = "door"\npath')
    assert parse_config((named + 'model = "door"\n').encode()).models[0].name == "door"
    assert 'it has "door"' in problem(named + 'model = "main"\n')


@pytest.mark.parametrize(
    "written, classes",
    [
        ("[]", ()),
        ('["person", "traffic light"]', (("person", 0.0), ("traffic light", 0.0))),
        ('{ person = 0.6, "traffic light" = 0 }', (("person", 0.6), ("traffic light", 0.0))),
        (str([str(number) for number in range(256)]), tuple((str(number), 0.0) for number in range(256))),
    ],
)
def test_classes_are_an_array_of_labels_or_a_table_of_their_confidences(written, classes):
    """One option in two forms; a table may also stand on lines of its own, as [source.classes]."""
    assert parse_config((LEAST + f"camera = 0\nclasses = {written}").encode()).sources[0].classes == classes


def test_synthetic_sources_are_of_a_sane_size():
    """Width, height, rate; None for anything else."""
    assert parse_synthetic("64x48@12.5") == (64, 48, 12.5)
    assert [parse_synthetic(text) for text in ("64x48", "0x1@1", "1x1@0", "99999x1@1", "1x1@1e9")] == [None] * 5


@pytest.mark.parametrize(
    "text, sentence",
    [
        ("", "box.toml: model: is missing; add a table [model]"),
        (LEAST, "source[0].url: one of url, snapshot, path, camera, synthetic is needed, found none"),
        (LEAST + 'camera = 0\npath = "x"', "found path and camera; write exactly one"),
        (LEAST + "camera = -1", "source[0].camera: -1 is not accepted"),
        (LEAST + "camera = true", "source[0].camera: True is not accepted"),
        (LEAST + 'camera = "video0"', "source[0].camera: 'video0' is not accepted"),
        (LEAST + 'url = "clip.mp4"', "source[0].url: 'clip.mp4' is not accepted; write SCHEME://HOST/"),
        (LEAST + 'snapshot = "rtsp://cam/"', "source[0].snapshot: 'rtsp://cam/' is not accepted; write SCHEME://HOST/"),
        (LEAST + 'snapshot = "http://cam/"\nloop = true', "source[0].loop: true is not accepted"),
        (LEAST + 'url = "file:///etc/passwd"', "source[0].url: 'file:///etc/passwd' is not accepted"),
        (LEAST + 'url = "rtsp://[::1"', "source[0].url"),
        (LEAST + 'synthetic = "big"', 'as "1280x720@25"'),
        (LEAST + "camera = 0\nlopp = true", 'source[0].lopp: is not an option; did you mean "loop"?'),
        (LEAST + "camera = 0\nloop = true", "source[0].loop: true is not accepted"),
        (LEAST + "camera = 0\nreconnect_min_s = 20", "source[0].reconnect_max_s: 3 is below reconnect_min_s"),
        (
            LEAST + 'camera = 0\nclasses = "person"',
            "source[0].classes: 'person' is not accepted; write labels",
        ),
        (LEAST + 'camera = 0\nclasses = ["person", 3]', "source[0].classes: 3 or its confidence is not accepted"),
        (LEAST + "camera = 0\nclasses = { person = 1.5 }", "source[0].classes: 'person' or its confidence is not"),
        (LEAST + 'camera = 0\nclasses = ["a", "a"]', "source[0].classes: 'a' stands there twice"),
        (LEAST + "camera = 0\nclasses = {}", "source[0].classes: is an empty table"),
        (LEAST + f"camera = 0\nclasses = {[str(n) for n in range(257)]}", "source[0].classes: ['0', '1'"),
        (LEAST + "camera = 0\nroi = [0, 0, 1]", "source[0].roi: [0, 0, 1] is not accepted; write [left, top,"),
        (LEAST + "camera = 0\nroi = [0, 0, 1, 1.01]", "source[0].roi: [0, 0, 1, 1.01] is not accepted"),
        (LEAST + "camera = 0\nroi = [0.5, 0, 0.5, 1]", "source[0].roi: [0.5, 0, 0.5, 1] is not accepted"),
        (LEAST + "camera = 0\nroi = [0, 0.5, 1, 0.509]", "right and bottom at least 0.01 greater"),
        (LEAST + "camera = 0\nroi = [0, 0, true, 1]", "source[0].roi: [0, 0, True, 1] is not accepted"),
        (LEAST + "camera = 0\nroi = 1", "source[0].roi: 1 is not accepted"),
        (LEAST + "camera = 0\npriority = 0", "source[0].priority: 0 is not accepted; write a whole number from 1 to 9"),
        (LEAST + "camera = 0\npriority = 10", "source[0].priority: 10 is not accepted"),
        (LEAST + "camera = 0\nmin_fps = -1", "source[0].min_fps: -1 is not accepted"),
        (LEAST + "camera = 0\nmin_fps = 5\nmax_fps = 4", "min_fps: 5 is more than max_fps = 4; write at most that"),
        (LEAST + "camera = 0\nconfidence = 2", "source[0].confidence: 2 is not accepted"),
        (LEAST + "camera = 0\nmax_fps = inf", "source[0].max_fps: inf is not accepted"),
        (LEAST + 'camera = 0\n[[source]]\nid = "a"\ncamera = 1', "source[1].id: 'a' names two sources"),
        (LEAST + 'camera = 0\n[[source]]\nid = "a/b"\ncamera = 1', "source[1].id: 'a/b' is not accepted"),
        (LEAST + 'camera = 0\n[agent]\nbox = "my box"', "agent.box: 'my box' is not accepted"),
        (LEAST + 'camera = 0\n[log]\nlevel = "loud"', "log.level: 'loud' is not accepted; write one of \"debug\""),
        (LEAST + 'camera = 0\n[publish]\nendpoint = "tcp://0.0.0.0:5557"', "insecure = true if everybody"),
        (LEAST + 'camera = 0\n[publish]\nendpoint = "tcp://eth0:5557"', "insecure = true if everybody"),
        (LEAST + 'camera = 0\n[publish]\nendpoint = "127.0.0.1:5557"', "is no endpoint; write ipc://"),
        (LEAST + 'camera = 0\n[publish]\nendpoint = "tcp://127.0.0.1:0"', "is no endpoint"),
        (LEAST + f'camera = 0\n[publish]\nendpoint = "ipc://{"x" * 200}"', "an ipc path has 1 to 107 bytes"),
        (LEAST + "camera = 0\n[publish]\nlinger_ms = 600\n[service]\nstop_timeout_s = 1", "write at most 500"),
        (LEAST + "camera = 0\n[publish]\nhigh_water_mark = 0", "publish.high_water_mark: 0 is not accepted"),
        (
            '[model]\npath = "m.onnx"\nruntime = "gpu"\n[[source]]\nid="a"\ncamera=0',
            "write the path of a .cambricon model",
        ),
        ('source = 3\n[model]\npath = "m.cambricon"', "source: 3 is not accepted"),
        ("model = 3\n[[source]]\nid = 'a'\ncamera = 0", "model: 3 is not a table; write [model]"),
        ("[model", "box.toml: not valid TOML"),
        ("model = []\n[[source]]\nid = 'a'\ncamera = 0", "model: is empty; add a table [[model]]"),
        (TWO + 'model = "c"\n', 'source[0].model: \'c\' is no model of this file; it has "a", "b.1"'),
        (TWO + '[[model]]\npath = "m.toml"\n', "model[2].name: is missing; write 1 to 64 of the characters"),
        (TWO + '[[model]]\nname = "a"\npath = "m.toml"\n', "model[2].name: 'a' names two models; give each its own"),
        (TWO + '[[model]]\nname = "a/"\npath = "m.toml"\n', "model[2].name: 'a/' is not accepted"),
    ],
)
def test_a_mistake_is_told_with_path_value_and_remedy(text, sentence):
    """No traceback, and the file's name in front."""
    message = problem(text)
    assert sentence in message
    assert all(line.startswith("box.toml: ") for line in message.splitlines())


def test_all_mistakes_of_a_file_are_told_together():
    """One run of ``check`` is enough."""
    message = problem(
        '[model]\npath = "m.cambricon"\ncores = -1\n[[source]]\nid = "a"\n[log]\nformat = "xml"\n[extra]\n'
    )
    assert [line.split(": ")[1] for line in message.splitlines()] == [
        "model.cores",
        "source[0].url",
        "log.format",
        "extra",
    ]


@pytest.mark.parametrize(
    "endpoint, local",
    [
        ("ipc:///run/x.sock", True),
        ("tcp://127.0.0.1:5557", True),
        ("tcp://127.1.2.3:*", True),
        ("tcp://localhost:1", True),
        ("tcp://[::1]:5557", True),
        ("tcp://*:5557", False),
        ("tcp://[::]:5557", False),
        ("tcp://192.168.1.2:5557", False),
        ("tcp://localhost.example:5557", False),
    ],
)
def test_other_machines_are_let_in_only_on_request(endpoint, local):
    """ipc and loopback need nothing, every other address needs insecure = true."""
    assert is_local_endpoint(endpoint) is local
    text = f'{LEAST}camera = 0\n[publish]\nendpoint = "{endpoint}"\n'
    assert parse_config((text + "insecure = true").encode()).publish.endpoint == endpoint
    if local:
        assert parse_config(text.encode()).publish.endpoint == endpoint
    else:
        assert "publish.endpoint" in problem(text)


SECRET = st.text("abcXYZ019-_.~!$&*+,;=@/:?#", min_size=4, max_size=20).map(lambda text: "S3" + text + "7Q")


@given(SECRET)
@example("S3@@/:7Q")
def test_a_password_never_shows(secret):
    """Not in the sentence about a wrong URL, whatever characters it holds."""
    assert secret not in problem(f"{LEAST}url = 'no rtsp://admin:{secret}@cam.local/stream '")


@given(st.binary(max_size=200))
@example(b"a = " + b"[" * 100_000)
@example(b"[model]\npath = 1979-05-27\nsource = [1, {id = 3}]")
def test_any_bytes_give_a_sentence(data):
    """Nothing but UserError comes out."""
    with pytest.raises(UserError):
        parse_config(data)
