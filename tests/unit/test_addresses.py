"""How addresses with passwords are written and shown."""

from __future__ import annotations

import base64
from urllib.parse import quote, unquote, urlsplit

import pytest
from hypothesis import example, given, strategies as st

from mlu_agent.config.addresses import raw_at, scrub, shown, with_login

PLACES = {
    "before the host": "rtsp://admin:{}@cam:554/stream",
    "as the user": "rtsp://{}@cam:554/stream",
    "query": "http://cam/video.cgi?user=admin&pwd={}&ch=1",
    "query of another name": "http://cam/videostream.cgi?loginuse=admin&loginpas={}",
    "query without a name": "http://cam/v?{}",
    "fragment": "http://cam/v#{}",
    "path": "rtsp://cam/user=admin&password={}&channel=1&stream=0.sdp",
    "path with underscores": "rtsp://cam/user=admin_password={}_channel=1_stream=0.sdp?real_stream",
    "path after a word": "http://cam/token/{}/live",
    "path of its own": "rtsps://cam:7441/{}?enableSrtp",
}
# letters and digits as keys have them, and what stands raw in passwords
SECRET = st.text("abcXYZ019!$*+,.~", min_size=10, max_size=24).map(lambda text: "S3kr" + text + "7Q")


@pytest.mark.parametrize("place", PLACES)
@given(secret=SECRET)
def test_a_secret_does_not_show_wherever_it_stands_in_an_address(place, secret):
    """Not in the address as shown, nor in a sentence that repeats the address or the secret in any form of it."""
    address = PLACES[place].format(secret)
    login = base64.b64encode(unquote(urlsplit(address).netloc.rpartition("@")[0]).encode()).decode()
    sentence = f"'{address}' {unquote(address)} {quote(address, safe='')}: 401 for {secret} {quote(secret)} ({login})"
    for text in (shown(address), scrub(sentence, address), scrub(f"open {address}: no")):
        assert secret not in unquote(text)
        assert "S3kr" not in text
    assert "cam" in shown(address)
    assert shown(shown(address)) == shown(address)


@given(st.text("abcXYZ019-_.~!$&*+,;=@/:?#", max_size=20).map(lambda text: "S3" + text + "7Q"))
@example("S3@@/:7Q")
@example("12#S3?7Q")
def test_a_password_with_raw_letters_does_not_show_either(secret):
    """Whatever it holds: what stands before the last @ is hidden where the password's end cannot be told."""
    address = f"rtsp://admin:{secret}@cam.local/stream"
    for text in (shown(address), scrub(f"cannot open {address} now"), scrub(f"401 {address}", address)):
        assert "S3" not in text
        assert "7Q" not in text
    assert shown(address) == "rtsp://***@cam.local/stream"


@pytest.mark.parametrize(
    "address, text",
    [
        ("rtsp://10.0.0.1/Streaming/Channels/101", "rtsp://10.0.0.1/Streaming/Channels/101"),
        ("rtsp://10.0.0.1/a@b", "rtsp://10.0.0.1/a@…"),
        ("http://[::1]:80/v?ch=1", "http://[::1]:80/v?…"),
        ("http://[::1]/", "http://[::1]/"),
        ("rtsp://admin:secret/1", "rtsp://admin:***/1"),
        ("/dev/video0", "/dev/video0"),
        ("12:30:00.mp4", "12:30:00.mp4"),
    ],
)
def test_what_is_no_secret_shows(address, text):
    """Scheme, host, port and a plain path tell which camera it is; local paths are left as they are."""
    assert shown(address) == text


def test_a_sentence_stays_a_sentence():
    """What is no secret is not touched: short values in a query, the end of a sentence, numbers like a password."""
    address = "http://admin:11@cam/v?channel=1"
    assert scrub(f"{address}: HTTP 411 after 1.11 s.", address) == "http://***@cam/v?…: HTTP 411 after 1.11 s."
    assert scrub("password 11 is wrong", address) == "password *** is wrong"
    assert scrub("HTTP request: Authorization: Basic YWRtaW46MTE=") == "HTTP request: Authorization: ***"
    assert scrub("{'user': 'a', 'password': 'S3kr'}") == "{'user': 'a', 'password': '***'}"
    assert scrub("admin:S3kr@cam/stream is no file") == "***@cam/stream is no file"


def test_a_sentence_of_others_is_bounded():
    """However much a camera or a library says."""
    assert len(scrub("rtsp://a:b@ " * 10_000)) <= 1010


def test_a_key_of_letters_alone_does_not_show():
    """A piece of a path that is longer than 24 letters is more than a name."""
    assert shown("http://cam/live/" + "kwqzjx" * 5) == "http://cam/live/…"


@pytest.mark.parametrize("password", ["12#ab", "12?ab", "12/ab", "ab#cd", "ab/cd", "a@b/c"])
def test_a_password_whose_end_cannot_be_told_is_noticed(password):
    """Digits and a slash look like a port and a path: such an address names a host "admin" to everybody else."""
    assert raw_at(f"rtsp://admin:{password}@cam:554/s")
    assert not raw_at(f"rtsp://admin:{quote(password, safe='')}@cam:554/s")


@given(st.text(st.characters(min_codepoint=33, max_codepoint=0x2FFF, exclude_categories=("Cs",)), min_size=1))
@example("p@ss:w%[")
def test_user_and_password_are_encoded(password):
    """So that no letter of them is read as a host: given apart as they are, or written into the address."""
    address = with_login("RTSP://cam:554/s?x=1", "a:b", password)
    parts = urlsplit(address)
    assert address.startswith("rtsp://a%3Ab:")
    assert unquote(parts.password or "") == password
    assert (parts.hostname, parts.port, parts.path, parts.query) == ("cam", 554, "/s", "x=1")


@pytest.mark.parametrize(
    "written, encoded",
    [
        ("p@ss:w", "p%40ss%3Aw"),
        ("p%40ss", "p%40ss"),
        ("100%sure", "100%25sure"),
        ("a[b", "a%5Bb"),
    ],
)
def test_a_raw_password_in_an_address_is_encoded_once(written, encoded):
    """The last @ before the path ends it; what is encoded already is left as it is."""
    assert with_login(f"rtsp://admin:{written}@cam/s") == f"rtsp://admin:{encoded}@cam/s"
