"""Exported networks give the same features in each format, for any batch size."""

import json
import sys

import numpy as np
import pytest
import torch
from trained import write_checkpoint

from reid_ext import cli, data, export, models
from reid_ext.export.embedder import WEIGHTS_FORMAT
from reid_ext.export.exporting import ENDINGS
from reid_ext.export.onnx_model import OnnxModel
from reid_ext.training.checkpoint import read_checkpoint

SLOW_EXPORTS = [pytest.param(name, marks=pytest.mark.slow) for name in ("onnx", "torch_export")]
NEEDS = {"onnx": ["onnx", "onnxscript", "onnxruntime"], "safetensors": ["safetensors"]}


@pytest.fixture(autouse=True)
def one_thread():
    threads = torch.get_num_threads()
    torch.set_num_threads(1)
    yield
    torch.set_num_threads(threads)


@pytest.fixture(params=["shared", "per_modality"])
def trained(request, tmp_path):
    """The path of a checkpoint, and its model."""
    path = tmp_path / "checkpoint.pt"
    return path, write_checkpoint(path, request.param)


def command(*arguments):
    return cli.main([str(argument) for argument in arguments])


def need(file_format):
    for package in NEEDS.get(file_format, []):
        pytest.importorskip(package)


def inputs(model, rows):
    images = torch.randn(rows, 3, 96, 48, generator=torch.Generator().manual_seed(rows))
    modalities = torch.arange(rows) % 2
    with torch.no_grad():
        return images, modalities, model(images, modalities).features


@pytest.mark.parametrize("file_format", [*SLOW_EXPORTS, "torchscript", "safetensors"])
def test_export_command_writes_the_features_of_the_network(file_format, trained, tmp_path, capsys):
    need(file_format)
    path, model = trained
    out = tmp_path / "new" / f"model{ENDINGS[file_format]}"
    assert command("export", path, out, "--format", file_format, "--json") == 0
    facts = json.loads(capsys.readouterr().out)
    two = isinstance(model.neck, models.neck.PerModalityNorm)
    assert facts["inputs"] == ["images", "modalities"][: 1 + two] and facts["size"] == [96, 48]
    assert facts["largest_difference"] < 1e-4 and list(out.parent.iterdir()) == [out]


@pytest.mark.slow
def test_onnx_file_accepts_any_batch_in_onnxruntime(trained, tmp_path):
    need("onnx")
    import onnxruntime

    path, model = trained
    assert command("export", path, tmp_path / "model.onnx", "--format", "onnx") == 0
    session = onnxruntime.InferenceSession(tmp_path / "model.onnx")
    names = [i.name for i in session.get_inputs()]
    for rows in (1, 2, 7):
        images, modalities, want = inputs(model, rows)
        given = dict(zip(names, [images.numpy(), modalities.numpy()], strict=False))
        got = session.run(["features"], given)[0]
        torch.testing.assert_close(torch.tensor(got), want, rtol=1e-3, atol=1e-4)


@pytest.mark.slow
def test_torchscript_and_torch_export_accept_any_batch(trained, tmp_path):
    path, model = trained
    for name in ("torchscript", "torch_export"):
        out = tmp_path / f"model{ENDINGS[name]}"
        assert command("export", path, out, "--format", name) == 0
    loaded = torch.jit.load(tmp_path / "model.ts"), torch.export.load(tmp_path / "model.pt2")
    for run in (loaded[0], loaded[1].module()):
        for rows in (1, 7):
            images, modalities, want = inputs(model, rows)
            two = isinstance(model.neck, models.neck.PerModalityNorm)
            torch.testing.assert_close(run(images, *[modalities][:two]), want)


@pytest.mark.parametrize("file_format", [SLOW_EXPORTS[0], "safetensors"])
def test_extract_reads_exported_files(file_format, trained, tmp_path):
    need(file_format)
    data.synthesize("regdb", tmp_path / "regdb", identities=(3, 0, 3), images=(2, 1), workers=1)
    exported = tmp_path / f"model{ENDINGS[file_format]}"
    assert command("export", trained[0], exported, "--format", file_format) == 0
    for source, out in ((trained[0], "own"), (exported, "read")):
        assert command("extract", source, "regdb", tmp_path / "regdb", "--out", tmp_path / out) == 0
    own, read = (np.load(tmp_path / o / "gallery.npz")["features"] for o in ("own", "read"))
    np.testing.assert_allclose(read, own, rtol=1e-3, atol=1e-4)


def test_export_removes_a_file_that_differs(trained, tmp_path, monkeypatch, capsys):
    monkeypatch.setitem(
        sys.modules["reid_ext.export.exporting"]._READERS,
        "torchscript",
        lambda path: lambda images, modalities=None: torch.ones(len(images), 576),
    )
    out = tmp_path / "out.ts"
    assert command("export", trained[0], out, "--format", "torchscript") == 1
    assert "must give the network's features" in capsys.readouterr().err
    assert [p.name for p in tmp_path.iterdir()] == ["checkpoint.pt"]


@pytest.mark.slow
def test_onnx_file_has_one_image_size_and_no_messages(trained, tmp_path, capfd):
    need("onnx")
    out = tmp_path / "model.onnx"
    assert command("export", trained[0], out, "--format", "onnx") == 0
    assert capfd.readouterr().err == ""
    assert export.load_embedder(out, size=(96, 48)).size == (96, 48)
    with pytest.raises(
        ValueError, match=r"size must be 96x48, the only size .* got 100x40; leave it"
    ):
        export.load_embedder(out, size=(100, 40))


@pytest.mark.parametrize("name", ["model.ts", "model.pt2"])
def test_load_embedder_raises_for_write_only_formats(name):
    with pytest.raises(ValueError, match=f"source must be a .pt, .* got {name}, which is not read"):
        export.load_embedder(name)


def test_onnx_model_raises_for_an_invalid_file(tmp_path):
    pytest.importorskip("onnxruntime")
    (tmp_path / "bad.onnx").write_bytes(b"no model")
    with pytest.raises(ValueError, match=r"source must be an ONNX file, got .*bad\.onnx"):
        OnnxModel(tmp_path / "bad.onnx")


def test_load_embedder_raises_for_foreign_weights(tmp_path):
    safetensors = pytest.importorskip("safetensors.torch")
    safetensors.save_file({"x": torch.ones(2)}, tmp_path / "x.safetensors")
    with pytest.raises(ValueError, match="source must be weights that reid-ext export wrote"):
        export.load_embedder(tmp_path / "x.safetensors")


def test_export_command_checks_the_file_ending(tmp_path, capsys):
    out = tmp_path / "model.onnx"
    assert command("export", tmp_path / "no.pt", out, "--format", "safetensors") == 2
    message = f"OUT must end in .safetensors for --format safetensors, got {out}"
    assert message in capsys.readouterr().err


def test_export_model_raises_for_an_unknown_format(trained, tmp_path):
    with pytest.raises(ValueError, match="export_model: file_format must be one of 'onnx'"):
        export.export_model(export.load_embedder(trained[0]), tmp_path / "x", "tflite")


@pytest.mark.parametrize("file_format", ["torchscript", "torch_export", "safetensors"])
def test_export_names_an_unwritable_path_before_work(file_format, trained, tmp_path, capsys):
    folder = tmp_path / f"folder{ENDINGS[file_format]}"
    folder.mkdir()
    for out in (f"/proc/model{ENDINGS[file_format]}", folder):
        assert command("export", trained[0], out, "--format", file_format) == 1
        err = capsys.readouterr().err
        assert f"export_model: path must be a path that can be written, got {out}: " in err
    assert not [p for p in tmp_path.iterdir() if p.name.startswith(".")]


def test_export_explains_how_to_install_safetensors(trained, tmp_path, monkeypatch, capsys):
    monkeypatch.setitem(sys.modules, "safetensors.torch", None)
    out = tmp_path / "w.safetensors"
    assert command("export", trained[0], out, "--format", "safetensors") == 1
    assert 'install it with pip install "reid_ext[export]"' in capsys.readouterr().err


def onnx_file(path, inputs, output):
    """Write an ONNX model that returns the means of its first input."""
    onnx = pytest.importorskip("onnx")
    pytest.importorskip("onnxruntime")
    h, f = onnx.helper, onnx.TensorProto.FLOAT
    shapes = [h.make_tensor_value_info(f"input{n}", f, s) for n, s in enumerate(inputs)]
    axes = list(range(len(output), len(inputs[0])))
    node = h.make_node("ReduceMean", ["input0"], ["out"], axes=axes, keepdims=0)
    graph = h.make_graph([node], "g", shapes, [h.make_tensor_value_info("out", f, output)])
    model = h.make_model(graph, opset_imports=[h.make_opsetid("", 13)], ir_version=8)
    onnx.save(model, path)


def test_foreign_onnx_file_gets_its_dimension_from_an_image(tmp_path):
    onnx_file(tmp_path / "theirs.onnx", [["n", "c", "h", "w"]], ["n", "d"])
    model = OnnxModel(tmp_path / "theirs.onnx")
    assert model.feature_dim == 3 and model.size is None and model.settings == {}
    images = torch.rand(2, 3, 8, 4)
    got = model(images, torch.zeros(2)).features
    torch.testing.assert_close(got, images.mean((2, 3)))
    with pytest.raises(ValueError, match=r"size must be given for .*theirs.onnx"):
        export.load_embedder(tmp_path / "theirs.onnx")
    embedder = export.load_embedder(tmp_path / "theirs.onnx", size=(8, 4))
    with pytest.raises(ValueError, match=r"embedder must come from a checkpoint, .* got an ONNX"):
        export.export_model(embedder, tmp_path / "again.onnx", "onnx")


def other_onnx_file(path, nodes, images, outputs):
    """Write an ONNX model; ``images`` is its type and shape, ``outputs`` are names and shapes."""
    onnx = pytest.importorskip("onnx")
    pytest.importorskip("onnxruntime")
    h, types = onnx.helper, onnx.TensorProto
    kind, shape = images
    graph = h.make_graph(
        [h.make_node(op, inputs, [out], **options) for op, inputs, out, options in nodes],
        "g",
        [h.make_tensor_value_info("x", getattr(types, kind), shape)],
        [h.make_tensor_value_info(name, getattr(types, kind), s) for name, s in outputs],
    )
    model = h.make_model(graph, opset_imports=[h.make_opsetid("", 13)], ir_version=8)
    onnx.save(model, path)


POOL = ("GlobalAveragePool", ["x"], "pooled", {})
FLAT = ("Flatten", ["pooled"], "y", {})


@pytest.mark.parametrize(
    "kind, batch, tolerance", [("FLOAT16", "n", 1e-3), ("FLOAT", 2, 1e-6), ("FLOAT", None, 1e-6)]
)
def test_onnx_model_accepts_half_precision_and_one_batch_size(kind, batch, tolerance, tmp_path):
    images = torch.rand(5, 3, 8, 4, generator=torch.Generator().manual_seed(0))
    file = tmp_path / "theirs.onnx"
    other_onnx_file(file, [POOL, FLAT], (kind, [batch, 3, 8, 4]), [("y", [batch, 3])])
    got = OnnxModel(file)(images, torch.zeros(5)).features
    torch.testing.assert_close(got, images.mean((2, 3)), rtol=0, atol=tolerance)


def test_onnx_model_accepts_features_with_height_and_width_1(tmp_path):
    images = torch.rand(2, 3, 8, 4, generator=torch.Generator().manual_seed(0))
    other_onnx_file(
        tmp_path / "x.onnx", [POOL], ("FLOAT", ["n", 3, 8, 4]), [("pooled", ["n", 3, 1, 1])]
    )
    got = OnnxModel(tmp_path / "x.onnx")(images, torch.zeros(2)).features
    torch.testing.assert_close(got, images.mean((2, 3)))


def test_onnx_model_uses_the_output_called_features(tmp_path):
    nodes = [POOL, FLAT, ("Neg", ["y"], "features", {})]
    outputs = [("y", ["n", 3]), ("features", ["n", 3])]
    other_onnx_file(tmp_path / "x.onnx", nodes, ("FLOAT", ["n", 3, 8, 4]), outputs)
    images = torch.ones(2, 3, 8, 4)
    assert (
        OnnxModel(tmp_path / "x.onnx")(images, torch.zeros(2)).features.tolist() == [[-1.0] * 3] * 2
    )


@pytest.mark.parametrize(
    "nodes, images, outputs, advice",
    [
        ([POOL, FLAT], ("FLOAT", ["n", 8, 4, 3]), [("y", ["n", 8])], "channels before height"),
        ([("Identity", ["x"], "y", {})], ("UINT8", ["n", 3, 8, 4]), [("y", ["n", 3])], "normalise"),
        (
            [POOL, FLAT],
            ("FLOAT", ["n", 3, 8, 4]),
            [("y", ["n", 3]), ("pooled", ["n", 3, 1, 1])],
            "one output",
        ),
    ],
)
def test_onnx_model_says_how_to_export_other_files(nodes, images, outputs, advice, tmp_path):
    other_onnx_file(tmp_path / "x.onnx", nodes, images, outputs)
    with pytest.raises(ValueError, match=rf"must map images .*; export .*{advice}"):
        OnnxModel(tmp_path / "x.onnx")


def test_onnx_model_names_the_file_if_an_image_size_does_not_fit(tmp_path):
    nodes = [("Reshape", ["x", "shape"], "y", {})]
    shape = ("Constant", [], "shape", {"value_ints": [-1, 96]})
    images = ("FLOAT", ["n", 3, "h", "w"])
    other_onnx_file(tmp_path / "x.onnx", [shape, *nodes], images, [("y", ["n", 96])])
    model = OnnxModel(tmp_path / "x.onnx")
    with pytest.raises(ValueError, match=r"source must accept images of 7x3, got .*x\.onnx"):
        model(torch.zeros(2, 3, 7, 3), torch.zeros(2))


@pytest.mark.parametrize("inputs, output", [([["n", 5]], ["n"]), ([["n", 3, 8, 4]] * 3, ["n", 3])])
def test_onnx_model_raises_for_other_inputs(inputs, output, tmp_path):
    onnx_file(tmp_path / "other.onnx", inputs, output)
    with pytest.raises(ValueError, match=r"must map images \(N, 3, H, W\) .* with input0"):
        OnnxModel(tmp_path / "other.onnx")


@pytest.mark.parametrize(
    "settings, state, message",
    [
        ({}, {}, "must come from a training script of reid_ext, got .* lacks the entry 'backbone'"),
        (None, {"classifier.weight": torch.ones(5, 9)}, "must hold the parameters of its own"),
    ],
)
def test_load_embedder_raises_for_weights_that_do_not_fit(
    settings, state, message, trained, tmp_path
):
    save = pytest.importorskip("safetensors.torch").save_file
    own = read_checkpoint(trained[0])["settings"]
    facts = {"format": WEIGHTS_FORMAT, "settings": json.dumps(own if settings is None else {})}
    save({**state, "x": torch.ones(1)}, tmp_path / "w.safetensors", facts)
    with pytest.raises(ValueError, match=message):
        export.load_embedder(tmp_path / "w.safetensors")


@pytest.mark.parametrize("package, file_format", [("onnx", "onnx"), ("onnxruntime", "onnx")])
def test_export_explains_how_to_install_onnx(package, file_format, trained, tmp_path, monkeypatch):
    monkeypatch.setitem(sys.modules, package, None)
    with pytest.raises(ImportError, match=r'pip install "reid_ext\[export\]"'):
        export.export_model(export.load_embedder(trained[0]), tmp_path / "m.onnx", file_format)
    assert [p.name for p in tmp_path.iterdir()] == ["checkpoint.pt"]


@pytest.mark.parametrize(
    "name, package", [("w.safetensors", "safetensors"), ("m.onnx", "onnxruntime")]
)
def test_load_embedder_explains_how_to_install_packages(name, package, tmp_path, monkeypatch):
    (tmp_path / name).touch()
    monkeypatch.setitem(sys.modules, package, None)
    with pytest.raises(ImportError, match=f"{name} needs {package}, which is not installed"):
        export.load_embedder(tmp_path / name)
