"""The readers of your own images: folders of identities, and lists as CSV or JSON."""

import json
import os

import pytest

from reid_ext import ArgumentError, data

FOLDERS = (
    *("train/0002/a_c1.jpg", "train/0002/b_c2.PNG", "train/0010/x_c3.bmp"),
    *("query/7/q_c1.jpeg", "gallery/7/g_c2.jpg", "gallery/8/h_c1.jpg"),
)


@pytest.fixture
def root(tmp_path):
    for file in FOLDERS:
        (tmp_path / file).parent.mkdir(parents=True, exist_ok=True)
        (tmp_path / file).touch()
    for stray in ("train/Thumbs.db", "train/0002/Thumbs.db", "train/0002/._a_c1.jpg"):
        (tmp_path / stray).touch()
    (tmp_path / "query" / ".cache").mkdir()
    return tmp_path


def facts(samples):
    return [(s.path.name, s.identity, s.camera) for s in samples]


def test_folders_reader_uses_folders_as_identities(root):
    dataset = data.load("folders", root)
    assert facts(dataset.train) == [("a_c1.jpg", 2, 0), ("b_c2.PNG", 2, 0), ("x_c3.bmp", 10, 0)]
    assert facts(dataset.query) == [("q_c1.jpeg", 7, 0)]
    assert facts(dataset.gallery) == [("g_c2.jpg", 7, 0), ("h_c1.jpg", 8, 0)]


def test_folders_reader_finds_camera_in_file_name(root):
    dataset = data.load("folders", root, camera=r"_c(\d+)")
    assert [s.camera for samples in dataset[1:] for s in samples] == [1, 2, 3, 1, 2, 1]


def test_folders_reader_numbers_names_over_all_splits(root):
    (root / "gallery" / "8").rename(root / "gallery" / "anna")
    dataset = data.load("folders", root)
    everyone = sorted(["0002", "0010", "7", "anna"])
    for samples in dataset[1:]:
        assert all(everyone[s.identity - 1] == s.path.parent.name == s.label for s in samples)


@pytest.mark.parametrize(
    ("names", "numbers"),
    [
        (["-1", "0000", "0007"], [-1, 0, 7]),
        (["-1", "0000", "anna"], [-1, 0, 1]),
        (["unknown", "anna", "bert"], [-1, 1, 2]),
        (["7", "007", "8"], [2, 1, 3]),
        (["1" * 19, "2", "3"], [int("1" * 19), 2, 3]),
        (["1" * 25, "2", "3"], [1, 2, 3]),
    ],
)
def test_labels_keep_their_meaning_in_folders_and_lists(names, numbers, tmp_path):
    rows = []
    for name in names:
        for split in ("query", "gallery"):
            path = tmp_path / split / name / "a.jpg"
            path.parent.mkdir(parents=True)
            path.touch()
            rows.append({"path": str(path), "split": split, "identity": name})
    for dataset in (
        data.load("folders", tmp_path),
        data.load("manifest", write(tmp_path / "my.csv", rows)),
        data.load("manifest", write(tmp_path / "my.json", rows)),
    ):
        assert dataset.train == []
        found = {s.path.parent.name: s.identity for s in dataset.query + dataset.gallery}
        assert [found[name] for name in names] == numbers
        labels = data.columns(dataset.query).get("labels")
        assert labels is None or labels == [s.path.parent.name for s in dataset.query]


def test_folders_reader_leaves_out_system_folders(root):
    before = data.load("folders", root)
    for name in (".cache", "@eaDir", "__MACOSX", "Thumbnails", "$RECYCLE.BIN", "lost+found"):
        (root / "train" / name).mkdir()
        (root / "train" / name / "a_c1.jpg").touch()
    assert data.load("folders", root) == before


def test_folders_reader_reads_letters_as_cameras(tmp_path):
    for path in ("query/1/A_1.jpg", "gallery/1/B_1.jpg", "gallery/1/C_1.jpg"):
        (tmp_path / path).parent.mkdir(parents=True, exist_ok=True)
        (tmp_path / path).touch()
    dataset = data.load("folders", tmp_path, camera="^([ABC])_")
    assert [s.camera for s in dataset.query + dataset.gallery] == [1, 2, 3]


def test_folders_reader_holds_out_without_query(root):
    for identity in range(100, 112):
        (root / "train" / str(identity)).mkdir()
        (root / "train" / str(identity) / "a_c1.jpg").touch()
    os.rename(root / "query", root / "elsewhere")
    dataset = data.load("folders", root, evaluate_on="val")
    assert [s.identity for s in dataset.query] == [110, 111]


@pytest.mark.parametrize(
    "camera, message",
    [
        (r"_k(\d+)", r"must match a camera in every file name, got '_k\(.*0002/a_c1\.jpg"),
        (
            r"_c\d",
            "must be a regular expression with a group for the camera number, got .*for example",
        ),
        (r"(", r"must be a regular expression .*, got '\(': missing"),
    ],
)
def test_folders_reader_raises_for_invalid_camera(camera, message, root):
    with pytest.raises(ValueError, match=f"folders: camera {message}"):
        data.load("folders", root, camera=camera)


def test_folders_reader_raises_for_missing_folders(root):
    (root / "train" / "0002" / "none").mkdir()
    (root / "gallery" / "9").mkdir()
    with pytest.raises(
        ValueError, match=r"gallery/9 must hold images \(\.jpg, .*, got 0 images; copy the"
    ):
        data.load("folders", root)
    os.rename(root / "query", root / "probe")
    with pytest.raises(FileNotFoundError, match="without query; give the folder"):
        data.load("folders", root)
    (root / "query").mkdir()
    with pytest.raises(ValueError, match="query must hold a folder for each identity, got 0; move"):
        data.load("folders", root)


ROWS = [
    {"path": "a.jpg", "split": "train", "identity": "anna", "camera": 1, "view": "front"},
    {"path": "/far/b.jpg", "split": "train", "identity": "bert", "modality": "infrared"},
    {"path": "q.jpg", "split": "query", "identity": "carl", "camera": 2, "view": 2},
    {"path": "g.jpg", "split": "gallery", "identity": "carl", "camera": 3, "modality": 1},
]


def write(path, rows):
    if path.suffix == ".json":
        path.write_text(json.dumps(rows))
    else:
        names = ["path", "split", "identity", "camera", "view", "modality", "note"]
        lines = [",".join(str(row.get(name, "")) for name in names) for row in rows]
        path.write_text("\n".join([",".join(names), *lines]), encoding="utf-8-sig")
    return path


@pytest.fixture(params=["my.csv", "my.json", "MY.CSV"])
def path(request, tmp_path):
    return write(tmp_path / request.param, ROWS)


def test_manifest_reader_loads_all_columns(path):
    dataset = data.load("manifest", path)
    here = path.parent
    assert dataset.train == [
        data.Sample(here / "a.jpg", 1, 1, 0, data.VISIBLE, "anna"),
        data.Sample(type(here)("/far/b.jpg"), 2, 0, None, data.INFRARED, "bert"),
    ]
    assert dataset.query == [data.Sample(here / "q.jpg", 3, 2, 2, data.VISIBLE, "carl")]
    assert dataset.gallery == [data.Sample(here / "g.jpg", 3, 3, None, data.INFRARED, "carl")]


SHEET = "path,split,identity,camera\na.jpg,train,7,1\nb.jpg,query,8,1\nc.jpg,gallery,8,2\n"


@pytest.mark.parametrize(
    "content",
    [
        SHEET.replace(",", ";").encode(),
        SHEET.replace(",", "\t").encode("utf-16"),
        SHEET.encode("utf-8-sig"),
        SHEET.replace("\n", "\r\n").encode(),
        SHEET.replace("path,split,identity,camera", "Path, Split,IDENTITY,Camera ").encode(),
        SHEET.replace("train", "Train").replace("query", "QUERY").encode(),
        SHEET.replace(",1\n", ",1.0\n").replace(",7,", ",7.0,").encode(),
        SHEET.replace("\n", ",,\n").replace("camera,,", "camera,,").encode(),
        ("\n" + SHEET + "\n\n").encode(),
    ],
)
def test_manifest_reader_reads_lists_of_spreadsheets(content, tmp_path):
    (tmp_path / "my.csv").write_bytes(content)
    dataset = data.load("manifest", tmp_path / "my.csv")
    found = [(s.path.name, s.identity, s.camera) for samples in dataset[1:] for s in samples]
    assert found == [("a.jpg", 7, 1), ("b.jpg", 8, 1), ("c.jpg", 8, 2)]


@pytest.mark.parametrize(
    ("change", "message"),
    [
        (("camera", "camid"), "must name its camera column 'camera', got the column 'camid'"),
        (("camera", "camra"), "must name its camera column 'camera', got the column 'camra'"),
        (("identity", "person"), "must have the columns path, split, identity, got the header"),
        (("identity", "path"), "must have the columns path, split, identity"),
        (("camera", "identity"), "must name each column once, got identity twice"),
        (("7,1\n", "7\n"), "must have 4 fields in every row, .* got 3 in line 2"),
        (("a.jpg", '"a.jpg'), "must be CSV, got"),
    ],
)
def test_manifest_reader_shows_the_header_that_it_found(change, message, tmp_path):
    (tmp_path / "my.csv").write_text(SHEET.replace(*change))
    with pytest.raises(ArgumentError, match=message):
        data.load("manifest", tmp_path / "my.csv")


def test_manifest_reader_keeps_numeric_identities(tmp_path):
    rows = [{**row, "identity": number} for row, number in zip(ROWS, (5, 12, 7, 7), strict=True)]
    dataset = data.load("manifest", write(tmp_path / "my.json", rows))
    assert [s.identity for samples in dataset[1:] for s in samples] == [5, 12, 7, 7]


@pytest.mark.parametrize(
    "change, message",
    [
        ({"path": ""}, r"row 2 .* must have path, split, identity, got no path"),
        (
            {"split": "trial"},
            r"row 2 .* must have a split among train, query, gallery, got 'trial'; correct",
        ),
        ({"camera": "-1"}, r"row 2 .* must have an integer >= 0 or a name as camera, got '-1'"),
        ({"view": "left"}, r"row 2 .* must have a view among 0, .* back, got 'left'; .* leave"),
        (
            {"modality": "thermal"},
            r"row 2 .* must have a modality among .* infrared, got 'thermal'",
        ),
    ],
)
def test_manifest_reader_raises_for_invalid_row(change, message, path):
    write(path, [ROWS[0], {**ROWS[1], **change}, *ROWS[2:]])
    with pytest.raises(ValueError, match=f"manifest: {message}"):
        data.load("manifest", path)


def test_manifest_reader_raises_for_missing_split(path):
    write(path, ROWS[:3])
    with pytest.raises(
        ValueError, match=r"must have rows of the splits .*, got no row of gallery; add"
    ):
        data.load("manifest", path)


@pytest.mark.parametrize("value", [[8], {"a": 8}, True])
def test_manifest_reader_raises_for_nested_values_of_its_columns_only(value, tmp_path):
    rows = [{**row, "boxes": value} for row in ROWS]
    assert data.load("manifest", write(tmp_path / "my.json", rows)).query
    write(tmp_path / "my.json", [{**ROWS[0], "identity": value}, *ROWS[1:]])
    with pytest.raises(ArgumentError, match=r"row 1 .* must have texts and numbers only, got"):
        data.load("manifest", tmp_path / "my.json")


@pytest.mark.parametrize("modalities", [1, 2])
def test_manifest_reader_holds_out_identities(modalities, tmp_path):
    rows = [
        {"path": f"{i}_{m}.jpg", "split": "train", "identity": i, "camera": m, "modality": m}
        for i in range(1, 13)
        for m in range(modalities)
    ]
    dataset = data.load("manifest", write(tmp_path / "my.csv", rows), evaluate_on="val")
    assert {s.identity for s in dataset.train} == set(range(1, 11))
    assert [s.identity for s in dataset.query] == [11, 12]
    assert {s.modality for s in dataset.gallery} == ({data.INFRARED} if modalities == 2 else set())


@pytest.mark.parametrize(
    "name, content, message",
    [
        ("my.json", "{", "must be JSON, got"),
        ("my.json", '{"path": "a.jpg"}', "must be a JSON list of objects, got {'path'"),
        ("my.json", "[1]", r"must be a JSON list of objects, got \[1\]; write"),
        ("my.csv", "path,split,identity\n", "must have rows, got a header alone"),
        ("my.txt", "a.jpg train 1", "must have the columns path, split, identity"),
        ("my.xml", "a.jpg train 1", r"root must be a \.csv or \.json file of images"),
    ],
)
def test_manifest_reader_raises_for_other_format(name, content, message, tmp_path):
    (tmp_path / name).write_text(content)
    with pytest.raises(ValueError, match=message):
        data.load("manifest", tmp_path / name)


def test_manifest_reader_raises_for_other_encoding(tmp_path):
    (tmp_path / "my.csv").write_bytes("path,split,identity\nü.jpg,train,1".encode("latin-1"))
    with pytest.raises(ValueError, match=r"my\.csv must be UTF-8 text, got byte 0xfc"):
        data.load("manifest", tmp_path / "my.csv")


def test_manifest_reader_raises_for_missing_file(tmp_path):
    with pytest.raises(FileNotFoundError, match=r"root must be a \.csv .*my\.csv, which does not"):
        data.load("manifest", tmp_path / "my.csv")
    with pytest.raises(
        FileNotFoundError, match=r"root must be a \.csv or \.json file, .*, which is a folder"
    ):
        data.load("manifest", tmp_path)


def test_check_accepts_arguments_of_the_reader(root):
    assert data.check("folders", root, camera=r"_c(\d+)").splits["gallery"].cameras == [1, 2]


def test_check_reports_unsupported_image_formats(root):
    (root / "train" / "0002" / "d_c1.WEBP").write_bytes(b"RIFF")
    findings = data.check("folders", root).findings
    assert [f.message for f in findings if f.message.startswith("left out")] == [
        "left out: images in a format that the readers ignore (1): train/0002/d_c1.WEBP; convert "
        "them to .jpg, .jpeg, .png or .bmp"
    ]


def test_check_reports_faults_of_own_data(root, path):
    report = data.check("folders", root)
    assert [f.message for f in report.findings if f.level == "error"] == [
        "6 images are empty (0 bytes): gallery/7/g_c2.jpg, gallery/8/h_c1.jpg, query/7/q_c1.jpeg, "
        "train/0002/a_c1.jpg, train/0002/b_c2.PNG and 1 more; copy the originals again"
    ]
    report = data.check("manifest", path)
    assert [f.message for f in report.findings if f.kind == "image"] == [
        "4 images are missing: /far/b.jpg, a.jpg, g.jpg, q.jpg; copy the originals again"
    ]


HEADER = "path,split,identity,camera\n"
TABLE = "a.jpg,query,8,1\nb.jpg,gallery,8,2\n"


@pytest.mark.parametrize(
    "text",
    [
        "sep=;\n" + (HEADER + TABLE).replace(",", ";"),
        (HEADER + TABLE).replace(",", "|"),
        (HEADER + TABLE).replace(",8,", ",8.0,", 1),
        (HEADER + TABLE).replace(",", ";").replace(";8;", ";8,0;"),
        (HEADER + TABLE).replace("\n", "\r\n") + ",,,\r\n,,,\r\n",
    ],
    ids=["separator line", "bars", "7 and 7.0", "decimal comma", "empty rows"],
)
def test_manifest_reader_accepts_lists_of_spreadsheets(text, tmp_path):
    (tmp_path / "my.csv").write_bytes(text.encode())
    dataset = data.load("manifest", tmp_path / "my.csv")
    assert [(s.identity, s.camera, s.label) for s in dataset.query + dataset.gallery] == [
        (8, 1, ""),
        (8, 2, ""),
    ]


def test_manifest_reader_compares_json_keys_without_case(tmp_path):
    rows = [
        {"Path": "a.jpg", "Split": s, "Identity": i} for s, i in (("query", 8), ("gallery", 8.0))
    ]
    dataset = data.load("manifest", write(tmp_path / "my.json", rows))
    assert dataset.query[0].identity == dataset.gallery[0].identity == 8


@pytest.mark.parametrize("encoding", ["utf-16-le", "utf-32"])
def test_manifest_reader_raises_for_other_encodings(encoding, tmp_path):
    (tmp_path / "my.csv").write_bytes((HEADER + TABLE).encode(encoding))
    with pytest.raises(ArgumentError, match=r"be UTF-8 text, got .*; save it in UTF-8"):
        data.load("manifest", tmp_path / "my.csv")


def test_check_reports_duplicate_gallery_rows(tmp_path):
    (tmp_path / "my.csv").write_text(HEADER + TABLE + "b.jpg,gallery,9,2\n")
    messages = [f.message for f in data.check("manifest", tmp_path / "my.csv").findings]
    assert any("gallery must list each image once, got 1 more than once" in m for m in messages)
