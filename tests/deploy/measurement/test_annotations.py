"""Annotations and the pictures that they are of: found wherever they lie, and believed only where they fit."""

from __future__ import annotations

import json
import struct

import cv2
import numpy as np
import pytest
from hypothesis import given, settings, strategies as st

from mlu_agent.errors import DataError
from mlu_agent.sources.decode import read_picture, shown_size
from mlu_agent.sources.headers import picture_turn
from mlu_export.measurement.annotation_file import read_annotations
from mlu_export.measurement.annotations import Annotations

pytestmark = pytest.mark.eval
WIDTH, HEIGHT = 96, 64
BOX = [80.0, 4.0, 12.0, 50.0]  # reaches out of the picture where its sides are swapped


def picture(path, width=WIDTH, height=HEIGHT, turn=1):
    """A picture that is shown ``width`` wide; with ``turn`` 6 it is stored on its side and EXIF says so."""
    path.parent.mkdir(parents=True, exist_ok=True)
    pixels = np.zeros((height, width, 3), np.uint8)
    pixels[: height // 2, : width // 3] = 250
    stored = cv2.rotate(pixels, cv2.ROTATE_90_COUNTERCLOCKWISE) if turn == 6 else pixels[::-1, ::-1]
    data = cv2.imencode(path.suffix, pixels if turn == 1 else stored)[1].tobytes()
    exif = b"Exif\0\0II*\0\x08\0\0\0\x01\0" + struct.pack("<HHII", 0x0112, 3, 1, turn) + bytes(4)
    segment = b"\xff\xe1" + struct.pack(">H", len(exif) + 2) + exif
    path.write_bytes(data if turn == 1 else data[:2] + segment + data[2:])


class Truth:
    """Annotations as a test changes them, of pictures under ``folder``."""

    def __init__(self, folder):
        self.folder = folder / "pictures"
        self.file = folder / "instances.json"
        self.images = []
        self.boxes = []
        self.categories = [{"id": 1, "name": "cat"}, {"id": 2, "name": "dog"}]

    def add(self, name, box=BOX, size=(WIDTH, HEIGHT), **more):
        number = len(self.images) + 1
        sizes = {} if size is None else {"width": size[0], "height": size[1]}
        self.images.append({"id": number, "file_name": name, **sizes})
        if box is not None:
            self.boxes.append({"id": number, "image_id": number, "category_id": 1, "bbox": box, **more})
        return self

    def read(self):
        content = {"images": self.images, "annotations": self.boxes, "categories": self.categories}
        self.file.write_text(json.dumps(content))
        return Annotations(self.file, self.folder)

    def refused(self, words):
        with pytest.raises(DataError, match=words) as caught:
            self.read()
        return str(caught.value)


@pytest.fixture
def truth(tmp_path):
    """Of one picture, a.png, with one box."""
    made = Truth(tmp_path)
    picture(made.folder / "a.png")
    return made.add("a.png")


# ---- where pictures lie ----


@pytest.mark.parametrize("name", ["val/1.png", "val\\1.png", "data/val/1.png", "C:\\data\\val\\1.png", "./val/1.png",
                                  "/mnt/val/1.png", "../../x/val/1.png"])  # fmt: skip
def test_a_file_name_may_have_folders_of_any_system(tmp_path, name):
    """The longest end of it that is a file counts."""
    made = Truth(tmp_path)
    picture(made.folder / "val" / "1.png")
    picture(made.folder / "1.png")
    assert made.add(name).read().entries == [(1, made.folder / "val" / "1.png")]


def test_two_folders_may_have_pictures_of_one_name(tmp_path):
    """Each is its own; where only one of them is there, it is not taken for both."""
    made = Truth(tmp_path)
    for name in ("a/1.png", "b/1.png"):
        picture(made.folder / name)
        made.add(name)
    assert [path.parent.name for _, path in made.read().entries] == ["a", "b"]
    (made.folder / "a" / "1.png").rename(made.folder / "1.png")
    made.images[1]["file_name"] = "c/1.png"
    assert "'a/1.png' and 'c/1.png' are both" in made.refused("listed twice")


def test_a_missing_picture_is_named_as_written_and_the_likely_one_too(truth):
    """With how many there are."""
    truth.add("gone/b.jpg").add("A.PNG")
    said = truth.refused("2 of 3 annotated pictures are not in")
    assert "the first is 'gone/b.jpg'" in said
    truth.images[1]["file_name"] = "val/A.jpg"
    assert "'val/A.jpg' (there is 'a.png')" in truth.refused("2 of 3")


def test_nothing_outside_of_the_folder_is_read(tmp_path, truth):
    """However the name leads upwards."""
    picture(tmp_path / "out.png")
    for name in ("../out.png", str(tmp_path / "out.png"), "..\\out.png", "x" * 5000, "..", "a.png/.."):
        truth.images[0]["file_name"] = name
        truth.refused("1 of 1 annotated pictures are not in")


def test_pictures_on_one_side_alone_are_counted(truth):
    """Pictures without annotations, pictures without an entry, and annotations without either."""
    picture(truth.folder / "b.png")
    picture(truth.folder / "c.png")
    truth.add("b.png", None)
    truth.boxes.append({"id": 9, "image_id": 77, "category_id": 1, "bbox": BOX})
    found = truth.read()
    assert found.foreign == 1
    assert found.notes == (
        "1 pictures have no annotation: what is found in them counts as wrong",
        "1 pictures beside them are not in the annotation file, and are not looked at",
    )


# ---- geometry ----


@pytest.mark.parametrize("size", [(WIDTH, HEIGHT), (WIDTH + 1, HEIGHT - 2), None, (0, 0), ("wide", None)])
def test_what_fits_is_not_spoken_of(truth, size):
    """Sizes may be rounded, or missing."""
    truth.images.clear()
    truth.boxes.clear()
    assert truth.add("a.png", size=size).read().notes == ()


def test_swapped_sizes_with_right_boxes_count_and_are_told(tmp_path):
    """A box that reaches out of the size that is written shows that this is wrong."""
    for name, turn in (("a.jpg", 6), ("b.jpg", 1)):
        made = Truth(tmp_path / name)
        picture(made.folder / name, turn=turn)
        found = made.add(name, size=(HEIGHT, WIDTH)).read()
        where = f"the first is {name} (64x96 there, shown 96x64)"
        says = (
            f"1 pictures have another size than instances.json says, {where}; their boxes fit the pictures, and count"
        )
        assert found.notes == (says,)
        assert (found.coco.imgs[1]["width"], found.coco.imgs[1]["height"]) == (WIDTH, HEIGHT)


def test_boxes_of_pictures_as_stored_are_refused(tmp_path):
    """EXIF turns the picture; its boxes were drawn before that."""
    made = Truth(tmp_path)
    picture(made.folder / "a.jpg", turn=6)
    made.add("a.jpg", [4.0, 4.0, 50.0, 88.0], size=(HEIGHT, WIDTH))
    assert "before the turn that EXIF asks for" in made.refused("1 of 1 pictures have boxes in the pixels")
    made.images[0] = {"id": 1, "file_name": "a.jpg"}
    made.boxes.append({**made.boxes[0], "id": 2})
    made.refused("2 of 2 boxes reach out of their pictures")


def test_a_turn_that_no_size_shows_is_told(tmp_path):
    """A picture on its head has the same size; whether boxes were drawn before cannot be seen."""
    made = Truth(tmp_path)
    picture(made.folder / "a.jpg", turn=3)
    picture(made.folder / "b.jpg", turn=6)
    made.add("a.jpg", size=None).add("b.jpg")
    notes = made.read().notes
    assert len(notes) == 1
    assert notes[0].startswith("1 pictures are turned by their EXIF, the first is a.jpg")


@pytest.mark.parametrize("size, box", [((48, 32), [40.0, 2.0, 6.0, 25.0]), ((192, 128), [160.0, 8.0, 24.0, 100.0]),
                                       ((48, 32), [1.0, 1.0, 9.0, 9.0])])  # fmt: skip
def test_boxes_of_resized_pictures_are_refused_with_a_count(truth, size, box):
    """Larger files than were annotated, and smaller ones."""
    truth.images.clear()
    truth.boxes.clear()
    truth.add("a.png", box, size=size)
    said = truth.refused("1 of 1 pictures have another size than it says, and boxes of that, the first is a.png")
    assert f"({size[0]}x{size[1]} there, shown 96x64)" in said


def test_wrong_sizes_with_boxes_of_the_files_own_pixels_count_and_are_told(truth):
    """A larger size is written, and boxes fit the smaller picture."""
    truth.images[0].update(width=500, height=400)
    assert "1 pictures have another size" in truth.read().notes[0]
    truth.images[0].update(width=10, height=10)
    assert "1 pictures have another size" in truth.read().notes[0]


def test_boxes_that_no_detection_can_match_are_dropped_and_counted(truth):
    """Without width or height, or outside of the picture; those that reach out a little stay, and are counted too."""
    more = ([5, 5, 0, 9], [5, 5, 9, 0], [200, 5, 9, 9], [90, 5, 20, 9], [95, 5, 3, 9], [1, 1, 9, 9], [2, 2, 8, 8])
    truth.boxes += [{"id": 10 + n, "image_id": 1, "category_id": 1, "bbox": list(box)} for n, box in enumerate(more)]
    found = truth.read()
    assert len(found.coco.anns) == 5
    assert found.notes == (
        "2 boxes have no width or no height, and do not count",
        "1 boxes lie outside of their pictures, and do not count",
        "1 boxes reach out of their pictures, the first in a.png",
    )


@pytest.mark.parametrize(
    "number",
    [10**400, -(10**400), 10**308, float("inf"), float("nan")],
    ids=["long", "negative", "large", "inf", "nan"],
)
def test_numbers_beyond_any_picture_are_refused_where_they_matter(truth, number):
    """JSON has whole numbers of any length. A side of a box is refused, an area that is no number is the box's own; the
    size of a picture is missing then, and what is no id belongs to nothing.
    """
    truth.boxes[0]["area"] = number
    area = truth.read().coco.anns[1]["area"]
    assert isinstance(area, float)
    assert area == (1e308 if number == 10**308 else BOX[2] * BOX[3])
    truth.images[0].update(width=number, height=number)
    assert truth.read().notes == ()
    truth.boxes.append({**truth.boxes[0], "id": 2, "category_id": number})
    assert truth.read().foreign == 1
    for place in range(4):
        truth.boxes[0]["bbox"] = [*BOX[:place], number, *BOX[place + 1 :]]
        truth.refused(r"annotation 1: bbox .* is not \[x, y, width, height\] in pixels")
    truth.boxes[0].update(bbox=BOX, id=number)
    truth.refused("its id must be a whole number")


def test_corners_and_fractions_are_no_boxes_of_coco(truth):
    """Most reach out of their pictures then, or none is a pixel wide."""
    truth.boxes[:] = [{"id": n, "image_id": 1, "category_id": 1, "bbox": [40 + n, 30, 90, 60]} for n in range(3)]
    truth.refused("3 of 3 boxes reach out of their pictures, the first in a.png: .* or corners")
    truth.boxes[:] = [{"id": 1, "image_id": 1, "category_id": 1, "bbox": [0.1, 0.2, 0.5, 0.5]}]
    truth.refused("all boxes are parts of their pictures, 0 to 1")
    truth.boxes[:] = [{"id": 1, "image_id": 1, "category_id": 1, "bbox": [5, 5, 9, 0]}]
    truth.refused("nothing to measure against")


# ---- ids, names, texts ----


def test_ids_as_texts_or_with_a_fraction_are_read_and_told(truth):
    """As tables that went through a spreadsheet have them."""
    truth.boxes[0].update(image_id="1", category_id=1.0)
    truth.categories[0]["id"] = "1"
    found = truth.read()
    assert len(found.coco.anns) == 1
    assert found.notes[0].startswith("3 ids are texts or have a fraction of 0")
    for wrong in ("one", "01", 1.5, None, True, 1 << 53):
        truth.images[0]["id"] = wrong
        truth.refused("its id must be a whole number and its file_name a text")


def test_a_root_category_without_annotations_is_left_out(truth):
    """Some exporters list the set itself as a category, called like one of its classes."""
    truth.categories.insert(0, {"id": 0, "name": "cat", "supercategory": "none"})
    found = truth.read()
    assert found.category_ids(("cat", "dog")) == [1, 2]
    assert found.notes == (
        "1 categories have the name of another and no annotation, and do not count, the first is 0 ('cat')",
    )
    truth.boxes.append({**truth.boxes[0], "id": 8, "category_id": 0, "bbox": [1, 1, 5, 5]})
    truth.refused(r"categories 0 and 1 are both called 'cat', and both have annotations")


def test_boxes_that_are_there_twice_are_counted(truth):
    """They count as COCO counts them: one is missed."""
    truth.boxes.append({**truth.boxes[0], "id": 8})
    found = truth.read()
    assert (len(found.coco.anns), found.notes) == (
        2, ("1 annotations repeat another box for box: one of each is found at most",)
    )  # fmt: skip


@pytest.mark.parametrize("encoding", ["utf-8-sig", "utf-16", "utf-16-le"])
def test_annotations_of_windows_are_read(tmp_path, encoding):
    """With their mark or in UTF-16."""
    made = Truth(tmp_path)
    picture(made.folder / "猫.png")
    made.add("猫.png").read()
    content = json.dumps(json.loads(made.file.read_text()), ensure_ascii=False, indent=1)
    made.file.write_bytes(content.encode(encoding))
    assert Annotations(made.file, made.folder).entries[0][1].name == "猫.png"


def test_annotations_in_gbk_are_blamed_for_that(tmp_path):
    """By line and byte."""
    path = tmp_path / "a.json"
    path.write_bytes('{"images": [],\n "categories": [{"name": "安全帽"}]}'.encode("gbk"))
    with pytest.raises(DataError, match=r"line 2 is not UTF-8 text \(byte 41\); it looks like GBK"):
        read_annotations(path)


@settings(max_examples=60, deadline=None)
@given(
    st.recursive(
        st.none() | st.booleans() | st.integers(-2, 3) | st.text(max_size=3) | st.sampled_from(["id", "1"]),
        lambda one: st.lists(one, max_size=4)
        | st.dictionaries(
            st.sampled_from(["images", "annotations", "categories", "id", "file_name", "name", "bbox", "image_id"]),
            one, max_size=5,
        ),
        max_leaves=25,
    )
)  # fmt: skip
def test_any_json_is_annotations_or_one_sentence(tmp_path_factory, document):
    """Whatever a file holds."""
    path = tmp_path_factory.getbasetemp() / "any.json"
    path.write_text(json.dumps(document))
    with pytest.raises(DataError) as caught:
        read_annotations(path)
    assert "Error" not in str(caught.value)


# ---- turns ----


@pytest.mark.parametrize("suffix", [".jpg", ".png", ".bmp", ".webp", ".tif"])
@pytest.mark.parametrize("turn", [1, 3, 6])
def test_the_size_that_is_told_is_the_size_that_is_read(tmp_path, suffix, turn):
    """Of every kind of picture; EXIF is the JPEG's here."""
    path = tmp_path / f"a{suffix}"
    picture(path, turn=turn if suffix == ".jpg" else 1)
    size, turned = shown_size(path)
    assert (size.height, size.width) == read_picture(path).shape[:2] == (HEIGHT, WIDTH)
    assert turned == (suffix == ".jpg" and turn != 1)


@settings(max_examples=60, deadline=None)
@given(st.binary(max_size=80))
def test_hostile_exif_turns_nothing(data):
    """Whatever stands behind its mark."""
    assert 1 <= picture_turn(b"\xff\xd8\xff\xe1\0\x50Exif\0\0" + data) <= 8
    assert 1 <= picture_turn(b"\x89PNG\r\n\x1a\n\0\0\0\x50eXIf" + data) <= 8
