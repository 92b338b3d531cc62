"""What is wrong with a camera's picture: found in scenes of noise, weather and traffic, and never where nothing is."""

from __future__ import annotations

import dataclasses
import itertools
from typing import TYPE_CHECKING, Callable

import cv2
import numpy as np
import pytest

from mlu_agent.config import WatchConfig
from mlu_agent.sources import SourceState
from mlu_agent.sources.watch import COLUMNS, ROWS, SIDE, Memory, PictureWatch, sample, step

if TYPE_CHECKING:
    from collections.abc import Iterator
    from pathlib import Path

    from numpy.typing import NDArray

HEIGHT, WIDTH = ROWS * SIDE, COLUMNS * SIDE
LOOKS = 5  # a second
LIMITS = WatchConfig()
FROZEN, BLACK, COVERED, MOVED = SourceState.FROZEN, SourceState.BLACK, SourceState.COVERED, SourceState.MOVED

Scene = Callable[[float], "NDArray[np.float64]"]  # seconds -> grey levels (HEIGHT, WIDTH)


def street(seed: int = 1) -> NDArray[np.float64]:
    """Walls, windows, a road: rectangles of all sizes, as a camera would see them."""
    random = np.random.default_rng(seed)
    picture = np.full((HEIGHT, WIDTH), 110.0, np.float32)
    for _ in range(60):
        top, left = random.integers(0, HEIGHT - 10), random.integers(0, WIDTH - 10)
        height, width = random.integers(8, 60), random.integers(8, 80)
        picture[top : top + height, left : left + width] = random.integers(20, 220)
    return picture


NOISE = np.random.default_rng(7).normal(0, 1, (23, HEIGHT, WIDTH)).astype(np.float32)


def noisy(scene: Scene, sigma: float = 1.5) -> Scene:
    """With the noise of a sensor."""
    return lambda at: scene(at) + sigma * NOISE[int(at * LOOKS) % len(NOISE)]


def still(picture: NDArray[np.float64]) -> Scene:
    return lambda _at: picture


def then(first: Scene, until_s: float, second: Scene) -> Scene:
    return lambda at: first(at) if at < until_s else second(at)


def pixels_of(greys: NDArray[np.float64]) -> NDArray[np.uint8]:
    return np.clip(np.round(greys), 0, 255).astype(np.uint8)


def watch(scene: Scene, seconds: float, limits: WatchConfig = LIMITS) -> list[tuple[float, SourceState | None]]:
    """Each finding and when it came, seconds."""
    memory, found = Memory(), [(0.0, None)]
    for look in range(int(seconds * LOOKS)):
        at = look / LOOKS
        memory = step(memory, pixels_of(scene(at)), 1000.0 + at, limits)
        if memory.finding != found[-1][1]:
            found.append((at, memory.finding))
    return found


def findings(scene: Scene, seconds: float, limits: WatchConfig = LIMITS) -> list[SourceState | None]:
    return [state for _, state in watch(scene, seconds, limits)]


STREET = street()


def traffic(at: float) -> NDArray[np.float64]:
    """A lorry of two fifths of the picture passes every 20 s, cars of a tenth every 3 s."""
    picture = STREET.copy()
    for every, width, height, grey in ((20.0, 100, 100, 60), (3.0, 30, 40, 200)):
        left = int(at % every / 5.0 * (WIDTH + width)) - width
        picture[40 : 40 + height, max(0, left) : max(0, left + width)] = grey + 5 * np.sin(at)
    return picture


def clouds(at: float) -> NDArray[np.float64]:
    """The light goes to a third and back within 10 s, again and again."""
    return STREET * (0.67 + 0.33 * np.cos(at / 10 * 2 * np.pi))


def dusk(at: float) -> NDArray[np.float64]:
    """An hour's dusk in five minutes, down to street lamps: dark, but for the lit windows."""
    lamps = np.zeros((HEIGHT, WIDTH))
    lamps[20:40, 30:60] = lamps[60:80, 160:200] = 90.0
    lamps[100:110, :] = 45.0
    return STREET * max(0.08, 1 - at / 300) + lamps * min(1.0, at / 300)


def sway(at: float) -> NDArray[np.float64]:
    """A pole in the wind: up to 1 % of the width to either side."""
    return np.roll(STREET, int(2.5 * np.sin(at * 3)), axis=1)


def light_switch(at: float) -> NDArray[np.float64]:
    """A lamp goes on and off each half minute."""
    spot = np.exp(-((np.arange(WIDTH) - 60) ** 2) / 4000.0)
    return STREET * 0.4 + (STREET * 0.5 * spot if at % 60 < 30 else 0.0)


def parked(at: float) -> NDArray[np.float64]:
    """A car comes after a minute and stays."""
    picture = STREET.copy()
    if at > 60:
        picture[60:130, 40:140] = 230
    return picture


@pytest.mark.parametrize("scene", [still(STREET), traffic, clouds, dusk, sway, light_switch, parked])
@pytest.mark.parametrize("sigma", [0.7, 4.0])
def test_a_scene_in_order_gives_no_alarm(scene, sigma):
    """Minutes of an empty street, traffic, clouds, dusk, wind, lamps, a parked car; much noise or little."""
    assert findings(noisy(scene, sigma), 310 if scene is dusk else 90) == [None]


def test_a_frozen_picture_is_found_in_ten_seconds_and_not_before():
    """The same picture; when it moves again, that is believed after a second, and one other picture changes nothing."""
    alive = noisy(still(STREET))
    stopped = alive(0.0)
    flash = then(still(stopped), 50.0, then(alive, 50.1, then(still(stopped), 60.0, alive)))
    (start, none), (at, state), (over, end) = watch(then(alive, 30.0, flash), 90)
    assert (none, state, end) == (None, FROZEN, None)
    assert 40.0 <= at <= 40.6
    assert 61.0 <= over <= 62.0
    assert start == 0.0
    assert findings(then(alive, 30.0, then(still(stopped), 39.5, alive)), 60) == [None]


def test_frozen_is_below_noise_and_not_only_the_same_bits():
    """One grey level in a hundred samples is a decoder's rounding; a person far away is not."""
    random = np.random.default_rng(3)

    def rounding(_at: float) -> NDArray[np.float64]:
        return STREET + (random.random((HEIGHT, WIDTH)) < 0.01)

    assert findings(rounding, 30) == [None, FROZEN]

    def walks(at: float) -> NDArray[np.float64]:
        left = int(at * 4) % 200
        picture = STREET.copy()
        picture[80:88, left : left + 3] -= 25.0  # in a picture of 36,864 samples
        return picture

    assert findings(walks, 60) == [None]


@pytest.mark.parametrize("key_s, found_s", [(4, 10), (30, 30), (1000, 120)])
def test_a_still_scene_is_not_frozen_before_a_key_frame_says_so(key_s, found_s):
    """Cameras that save bits send nothing new of a quiet scene until their next key frame, which is never quite the
    same; where none comes at all, two minutes are enough."""
    same, random = STREET.astype(np.uint8), np.random.default_rng(5)
    quiet, frozen, at_frozen = Memory(), Memory(), 0.0
    refreshed = same
    for look in range(130 * LOOKS):
        at, key = look / LOOKS, look % (key_s * LOOKS) == 0 and look > 0
        if key:
            refreshed = same + random.integers(0, 2, same.shape, np.uint8)
        if at < 115:
            quiet = step(quiet, refreshed, at, LIMITS, key_frame=key)
        frozen = step(frozen, same, at, LIMITS, key_frame=key)
        at_frozen = at_frozen or (at if frozen.finding is FROZEN else 0.0)
    assert quiet.finding is None
    assert found_s <= at_frozen <= found_s + 0.6


@pytest.mark.parametrize("level, state", [(0.0, BLACK), (16.0, BLACK)])
def test_a_black_picture_is_black_whatever_else_it_is(level, state):
    """With its noise, and although it has no detail and may be frozen as well; light ends it."""
    dark = noisy(still(np.full((HEIGHT, WIDTH), level)), 1.0 if level else 0.0)
    (_, _), (at, found), (over, end) = watch(
        then(noisy(still(STREET)), 30.0, then(dark, 60.0, noisy(still(STREET)))), 90
    )
    assert (found, end) == (state, None)
    assert 35.0 <= at <= 36.0
    assert 61.0 <= over <= 62.0


def test_a_covered_lens_is_found_and_what_passes_before_it_is_not():
    """A hand, a cloth, paint: light and dark without edges. Five seconds are enough to believe it."""
    ramp = np.linspace(60, 120, WIDTH)[None, :] + np.linspace(0, 20, HEIGHT)[:, None]
    covered = noisy(still(ramp), 3.0)
    alive = noisy(still(STREET))
    (_, _), (at, found), (over, end) = watch(then(alive, 30.0, then(covered, 100.0, alive)), 130)
    assert (found, end) == (COVERED, None)
    assert 35.0 <= at <= 36.0
    assert 101.0 <= over <= 102.0
    assert findings(then(alive, 30.0, then(covered, 34.0, alive)), 60) == [None]


@pytest.mark.parametrize(
    "view",
    [street(2), np.roll(STREET, WIDTH // 5, axis=1), np.roll(STREET, HEIGHT // 4, axis=0), STREET[:, ::-1]],
    ids=["elsewhere", "aside", "up", "mirrored"],
)
def test_a_camera_that_was_turned_is_found_until_it_is_turned_back(view):
    """In traffic, by a fifth of its picture or altogether."""
    (_, _), (at, found), (over, end) = watch(
        then(noisy(traffic), 100.0, then(noisy(still(view)), 160.0, noisy(traffic))), 200
    )
    assert (found, end) == (MOVED, None)
    assert 105.0 <= at <= 110.0
    assert 161.0 <= over <= 163.0


def test_a_new_view_is_the_usual_one_after_ten_minutes():
    """Somebody may have meant it; from then on it is what must not move."""
    turned = then(noisy(still(STREET)), 25.0, noisy(still(street(2))))
    found = watch(then(turned, 665.0, noisy(still(street(3)))), 680)
    assert [state for _, state in found] == [None, MOVED, None, MOVED]
    assert found[2][0] - found[1][0] == pytest.approx(600, abs=2)


def test_where_the_camera_looks_is_not_asked_in_the_dark():
    """After black minutes it is known what it saw before them: the same, or it was turned meanwhile."""
    dark, street_again = noisy(still(np.full((HEIGHT, WIDTH), 3.0)), 1.0), noisy(still(STREET))
    memory, ends = Memory(), {}
    for at in np.arange(0, 60, 0.2):
        memory = step(memory, pixels_of(street_again(at)), at, LIMITS)
    for at in range(60, 800):
        memory = step(memory, pixels_of(dark(at)), float(at), LIMITS)
    assert memory.finding is BLACK
    for name, scene in (("same", street_again), ("turned", noisy(still(street(2))))):
        later = memory
        for at in np.arange(800, 815, 0.2):
            later = step(later, pixels_of(scene(at)), at, LIMITS)
        ends[name] = later.finding
    assert ends == {"same": None, "turned": MOVED}


def test_each_part_can_be_switched_off():
    """A limit of 0 finds nothing."""
    off = {FROZEN: {"frozen_s": 0.0}, BLACK: {"black_level": 0.0, "frozen_s": 0.0}, COVERED: {"covered_detail": 0.0}}
    scenes = {FROZEN: still(STREET), BLACK: still(0 * STREET), COVERED: noisy(still(0 * STREET + 90))}
    for state, options in off.items():
        assert state in findings(scenes[state], 40)
        assert state not in findings(scenes[state], 40, dataclasses.replace(LIMITS, **options))
    turned = then(noisy(still(STREET)), 60.0, noisy(still(street(2))))
    assert findings(turned, 90) == [None, MOVED]
    assert findings(turned, 90, dataclasses.replace(LIMITS, moved_share=0.0)) == [None]


def test_a_pause_is_no_time_of_the_same_picture():
    """A picture that comes again after an hour's silence has not been looked at for an hour."""
    memory = Memory()
    picture = STREET.astype(np.uint8)
    for at in (0.0, 0.2, 3600.0, 3600.2, 3600.4):
        memory = step(memory, picture, at, LIMITS)
    assert memory.finding is None


def test_a_picture_of_any_size_is_sampled_from_edge_to_edge():
    """Also one that is smaller than the grid, or odd."""
    for height, width in ((1, 1), (30, 50), (1080, 1920), (287, 511)):
        pixels = np.zeros((height, width, 3), np.uint8)
        pixels[..., 1] = np.linspace(0, 255, width)[None, :]
        samples = sample(pixels)
        assert samples.shape == (HEIGHT, WIDTH)
        assert samples.dtype == np.uint8
        if width > 100:
            assert samples[0, 0] <= 2
            assert samples[-1, -1] >= 253


def test_it_looks_five_times_a_second_at_most_and_begins_anew_with_another_size():
    """Whatever the camera's rate; another size may be another part of the view."""
    seen = PictureWatch(LIMITS)
    small, large = np.zeros((90, 160, 3), np.uint8), np.zeros((180, 320, 3), np.uint8)
    looks = set()
    for number in range(25 * 8):
        seen.look(small, number / 25)
        looks.add(seen._memory.last)
    assert 32 <= len(looks) <= 40
    assert seen.finding is not None
    assert seen.finding[0] is BLACK
    seen.look(large, 8.2)
    assert seen.finding is None


def frames(path: Path) -> Iterator[NDArray[np.uint8]]:
    video = cv2.VideoCapture(str(path))
    while True:
        found, pixels = video.read()
        if not found:
            return
        yield pixels


@pytest.mark.shared
def test_real_clips_give_no_alarm(shared_data: Path):
    """Each played again and again for a minute and a half, as its camera sees it: people, cars, bicycles."""
    for clip in sorted((shared_data / "video").iterdir()):
        looks = [sample(pixels) for number, pixels in enumerate(frames(clip)) if number % 5 == 0]
        memory, found = Memory(), set()
        for look, samples in zip(range(90 * LOOKS), itertools.cycle(looks)):
            memory = step(memory, samples, look / LOOKS, LIMITS)
            found.add(memory.finding)
        assert found == {None}, clip.name
