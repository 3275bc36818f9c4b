"""The networks: shapes, frozen parameters, modalities in any order, weights from files."""

import argparse
import importlib
import sys
from types import ModuleType, SimpleNamespace

import pytest
import torch
from torch import nn
from torch.nn import functional as F

from reid_ext import models
from reid_ext.models.neck import PerModalityNorm, SharedNorm
from reid_ext.models.timm_parts import set_last_stride_to_1

SIZE = (48, 24)
MODALITIES = torch.tensor([0, 1, 1, 0, 1, 0, 0, 1])


def timm_or_skip():
    try:
        return importlib.import_module("timm")
    except (ImportError, RuntimeError) as error:  # RuntimeError if torchvision is of another build
        pytest.skip(f"needs a timm that imports: {error}")


def images(rows=8, size=SIZE):
    return torch.rand(rows, 3, *size)


@pytest.mark.parametrize("neck", ["shared", "per_modality"])
@pytest.mark.parametrize("stem", ["shared", "per_modality"])
def test_two_stream_embeds_a_mixed_batch(neck, stem, device):
    model = models.TwoStream("small", 5, neck=neck, stem=stem).to(device)
    embedding = model(images().to(device), MODALITIES)
    assert embedding.pooled.shape == embedding.features.shape == (8, model.feature_dim)
    assert embedding.features.dtype == torch.float32
    assert model.classifier(embedding.features).shape == (8, 5)


def test_small_network_has_its_documented_size():
    model = models.TwoStream("small", 120)
    assert model.feature_dim == 576
    assert sum(p.numel() for p in model.parameters()) == pytest.approx(0.956e6, rel=0.01)


def test_neck_and_classifier_have_their_initial_weights():
    model = models.TwoStream("small", 200)
    assert model.classifier.bias is None
    assert model.classifier.weight.std().item() == pytest.approx(0.001, rel=0.05)
    for neck in (model.neck, PerModalityNorm(4)):
        assert (neck.weight == 1).all() and (neck.bias == 0).all()


@pytest.mark.parametrize("neck", ["shared", "per_modality"])
def test_neck_bias_stays_zero(neck):
    model = models.TwoStream("small", 3, neck=neck)
    optimizer = torch.optim.SGD([p for p in model.parameters() if p.requires_grad], lr=0.1)
    model.classifier(model(images(), MODALITIES).features).square().sum().backward()
    optimizer.step()
    assert (model.neck.bias == 0).all()
    assert not (model.neck.weight == 1).all()


@pytest.mark.parametrize("training", [True, False])
def test_per_modality_norm_is_one_batch_norm_each(training, device):
    norm = PerModalityNorm(6).to(device, torch.float64).train(training)
    twins = [SharedNorm(6).to(device, torch.float64).train(training) for _ in range(2)]
    with torch.no_grad():
        norm.weight.copy_(torch.rand(2, 6))
        for twin, weight in zip(twins, norm.weight, strict=True):
            twin.weight.copy_(weight)
    for _ in range(3):
        x = (torch.randn(8, 6, dtype=torch.float64) * 3 + 1).to(device)
        y = norm(x, MODALITIES)
        for m, twin in enumerate(twins):
            rows = torch.where(MODALITIES.eq(m))
            torch.testing.assert_close(y[rows], twin(x[rows]))
            torch.testing.assert_close(norm.running_mean[m], twin.running_mean)
            torch.testing.assert_close(norm.running_var[m], twin.running_var)


def test_per_modality_norm_keeps_statistics_of_absent_modality():
    norm = PerModalityNorm(6)
    norm(torch.randn(4, 6) + 5, torch.zeros(4, dtype=torch.int64))
    assert (norm.running_mean[0] != 0).all() and (norm.running_mean[1] == 0).all()
    assert (norm.running_var[1] == 1).all()


def test_per_modality_norm_has_the_right_gradient():
    norm = PerModalityNorm(3).double()
    x = torch.randn(8, 3, dtype=torch.float64, requires_grad=True)
    assert torch.autograd.gradcheck(lambda x: norm(x, MODALITIES), (x,))


def test_per_modality_stems_start_equal():
    model = models.TwoStream("small", 3, stem="per_modality").eval()
    x = images(1).expand(2, -1, -1, -1)
    same = model(x, torch.tensor([0, 1])).pooled
    torch.testing.assert_close(same[0], same[1])
    with torch.no_grad():
        model.stems[1][0].weight.mul_(0.5)
    apart = model(x, torch.tensor([0, 1])).pooled
    assert not torch.allclose(apart[0], apart[1])


@pytest.mark.parametrize("modality", [0, 1])
def test_per_modality_stems_accept_one_modality(modality):
    model = models.TwoStream("small", 3, stem="per_modality", neck="per_modality").train()
    assert model(images(), torch.full((8,), modality)).features.isfinite().all()


def test_two_stream_ignores_the_order_of_the_batch():
    model = models.TwoStream("small", 3, stem="per_modality", neck="per_modality").eval()
    x, order = images(), torch.randperm(8)
    whole, shuffled = model(x, MODALITIES), model(x[order], MODALITIES[order])
    torch.testing.assert_close(whole.features[order], shuffled.features)


def test_embedding_is_float32_under_autocast():
    model = models.TwoStream("small", 3, neck="per_modality")
    with torch.autocast("cpu", torch.bfloat16):
        embedding = model(images(), MODALITIES)
    assert embedding.pooled.dtype == embedding.features.dtype == torch.float32


def test_build_backbone_loads_weights_from_a_file(tmp_path):
    source = models.build_backbone("small")
    torch.save(source.state_dict(), tmp_path / "small.pt")
    loaded = models.build_backbone("small", tmp_path / "small.pt")
    for a, b in zip(source.parameters(), loaded.parameters(), strict=True):
        assert torch.equal(a, b)


def other_model(path):
    torch.save(nn.Linear(2, 2).state_dict(), path)


def other_shape(path):
    state = models.build_backbone("small").state_dict()
    torch.save({**state, "stem.0.weight": torch.zeros(1)}, path)


def unknown_name(path):
    torch.save({**models.build_backbone("small").state_dict(), "extra": torch.zeros(1)}, path)


def no_state_dict(path):
    torch.save([1, 2], path)


def no_file_of_torch(path):
    path.write_bytes(b"not a state dict")


@pytest.mark.parametrize(
    "write, message",
    [
        (other_model, "lacks"),
        (other_shape, r"other shapes \(1 of .*stem.0.weight"),
        (unknown_name, "unknown .*extra"),
        (no_state_dict, "state dict .*list"),
        (no_file_of_torch, "readable state dict"),
    ],
)
def test_build_backbone_raises_for_other_weights(write, message, tmp_path):
    write(tmp_path / "weights.pt")
    with pytest.raises(ValueError, match=f"(?s)weights must .*{message}"):
        models.build_backbone("small", tmp_path / "weights.pt")


def test_build_backbone_raises_for_a_missing_file(tmp_path):
    with pytest.raises(FileNotFoundError, match=r"weights must .*none.pt"):
        models.build_backbone("small", tmp_path / "none.pt")


def prefixed(state):
    return {f"module.backbone.{name}": value for name, value in state.items()}


def prefixed_and_nested(state):
    return {"state_dict": {f"module.{k}": v for k, v in state.items()}, "epoch": 3}


@pytest.mark.parametrize("wrap", [prefixed, prefixed_and_nested, lambda state: {"model": state}])
def test_build_backbone_accepts_prefixed_and_nested_weights(wrap, tmp_path):
    source = models.build_backbone("small")
    torch.save(wrap(source.state_dict()), tmp_path / "weights.pt")
    loaded = models.build_backbone("small", tmp_path / "weights.pt")
    for a, b in zip(source.parameters(), loaded.parameters(), strict=True):
        assert torch.equal(a, b)


def test_build_backbone_warns_about_entries_outside_the_prefix(tmp_path):
    state = prefixed(models.build_backbone("small").state_dict())
    torch.save({**state, "module.heads.weight": torch.zeros(2)}, tmp_path / "weights.pt")
    with pytest.warns(UserWarning, match=r"1 entries .*'module.backbone.' .*: module.heads.weight"):
        models.build_backbone("small", tmp_path / "weights.pt")


def two_dicts(state):
    return {"teacher": state, "student": state}


def two_prefixes(state):
    return {f"{of}.{name}": value for of in ("student", "teacher") for name, value in state.items()}


@pytest.mark.parametrize("wrap", [two_dicts, two_prefixes])
def test_build_backbone_raises_for_two_networks_in_a_file(wrap, tmp_path):
    torch.save(wrap(models.build_backbone("small").state_dict()), tmp_path / "weights.pt")
    with pytest.raises(
        ValueError, match=r"weights must .* (teacher.*, student|student.*, teacher)"
    ):
        models.build_backbone("small", tmp_path / "weights.pt")


def test_build_backbone_raises_for_pickled_objects(tmp_path):
    torch.save({"state_dict": {}, "args": argparse.Namespace()}, tmp_path / "weights.pt")
    with pytest.raises(ValueError, match=r"not only tensors and numbers\); save only its state"):
        models.build_backbone("small", tmp_path / "weights.pt")


def test_small_has_no_imagenet_weights():
    with pytest.raises(ValueError, match="trained from scratch"):
        models.build_backbone("small", "imagenet")


def test_build_backbone_explains_how_to_install_timm(monkeypatch):
    monkeypatch.setitem(sys.modules, "timm", None)
    with pytest.raises(ImportError, match=r"needs timm, which is not installed; .*torchvision"):
        models.build_backbone("resnet50")


@pytest.mark.parametrize(
    "code, reason",
    [
        ("raise RuntimeError('operator torchvision::nms does not exist')", "torchvision::nms"),
        ("import no_torchvision", "No module named 'no_torchvision'"),
    ],
)
def test_build_backbone_says_why_timm_cannot_be_imported(code, reason, monkeypatch, tmp_path):
    (tmp_path / "timm.py").write_text(code)
    monkeypatch.syspath_prepend(tmp_path)
    monkeypatch.delitem(sys.modules, "timm", raising=False)
    with pytest.raises(ImportError, match=rf"installed but cannot be imported \(.*{reason}"):
        models.build_backbone("resnet50")


class OtherWidth(nn.Module):
    """A network that gives 7 features but announces 5, for images of one size."""

    num_features = 5

    def __init__(self, img_size=(24, 12)):
        super().__init__()
        self.size = img_size
        self.layer = nn.Linear(3, 7)

    def forward(self, x):
        assert x.shape[2:] == self.size, "wrong size"
        return self.layer(x.mean((2, 3)))


@pytest.fixture
def fake_timm(monkeypatch):
    """A module with the functions of timm that the package calls."""

    def create_model(name, pretrained=False, num_classes=0, **options):
        if pretrained:
            raise FileNotFoundError("Cannot reach the hub. Try again.\nSecond line")
        return OtherWidth(**options)

    facts = SimpleNamespace(input_size=(3, 24, 12), fixed_input_size=True)
    module = ModuleType("timm")
    module.is_model = lambda name: True
    module.get_pretrained_cfg = lambda name, allow_unregistered: facts
    module.create_model = create_model
    module.models = SimpleNamespace(ResNet=nn.Conv2d)
    monkeypatch.setitem(sys.modules, "timm", module)
    return facts


def test_build_backbone_measures_the_feature_dim(fake_timm):
    backbone = models.build_backbone("some", size=(48, 24))
    assert (backbone.feature_dim, backbone.fixed_size) == (7, (48, 24))
    assert models.TwoStream(backbone, 4)(images(), MODALITIES).features.shape == (8, 7)


def test_build_backbone_uses_the_own_size_of_a_model(fake_timm):
    backbone = models.build_backbone("some")
    assert backbone.fixed_size == (24, 12)
    with pytest.raises(ValueError, match=r"Backbone: images must be 24x12 pixels.*, got 48x24"):
        backbone(images())
    with pytest.raises(ValueError, match=r"TwoStream: images must be 24x12 pixels.*, got 48x24"):
        models.TwoStream(backbone, 4)(images(), MODALITIES)


def test_build_backbone_raises_for_a_size_that_the_model_rejects(fake_timm):
    fake_timm.fixed_input_size = False
    message = r"size must be an image size .*, got 48x24 \(wrong size\); use 24x12"
    with pytest.raises(ValueError, match=message):
        models.build_backbone("some", size=(48, 24))


def test_build_backbone_names_the_reason_if_weights_cannot_be_downloaded(fake_timm):
    with pytest.raises(RuntimeError, match=r"weights of 'some', got Cannot reach the hub; check"):
        models.build_backbone("some", "imagenet")


@pytest.mark.parametrize("size", [5, (48,), (48, 0), "48x24"])
def test_build_backbone_raises_for_an_invalid_size(size):
    with pytest.raises(ValueError, match="build_backbone: size"):
        models.build_backbone("small", size=size)


@pytest.mark.parametrize("name", ["vit_tiny_patch16_224", "swin_tiny_patch4_window7_224"])
def test_timm_transformer_embeds_images_of_any_size(name):
    timm_or_skip()
    backbone = models.build_backbone(name, size=(64, 32)).eval()
    assert backbone(images(2, (64, 32))).shape == (2, backbone.feature_dim)


def test_timm_mobilenet_has_its_real_feature_dim():
    timm_or_skip()
    backbone = models.build_backbone("mobilenetv3_small_050", size=(64, 32)).eval()
    assert backbone(images(2, (64, 32))).shape == (2, 1024) and backbone.feature_dim == 1024


def test_timm_transformer_adapts_weights_of_another_size(tmp_path):
    timm = timm_or_skip()
    source = timm.create_model("vit_tiny_patch16_224", num_classes=10)
    torch.save(source.state_dict(), tmp_path / "vit.pth")
    backbone = models.build_backbone("vit_tiny_patch16_224", tmp_path / "vit.pth", size=(64, 32))
    assert torch.equal(backbone.trunk.blocks[0].attn.qkv.weight, source.blocks[0].attn.qkv.weight)
    assert backbone.trunk.pos_embed.shape == (1, 1 + 4 * 2, 192)


@pytest.mark.parametrize(
    "keywords, message",
    [
        ({"neck": "no"}, "neck must be one of 'shared', 'per_modality', 'none', got 'no'"),
        ({"stem": "two"}, "stem must be one of 'shared', 'per_modality', got 'two'"),
        ({"num_identities": 0}, "num_identities must be an integer >= 1, got 0"),
    ],
)
def test_two_stream_raises_for_unknown_choices(keywords, message):
    with pytest.raises(ValueError, match=message):
        models.TwoStream("small", **{"num_identities": 3, **keywords})


def test_two_stream_raises_for_backbone_without_a_stem():
    backbone = models.Backbone(nn.Identity(), nn.Flatten(), nn.Identity(), 12, None)
    with pytest.raises(ValueError, match="stem must be 'shared'"):
        models.TwoStream(backbone, 3, stem="per_modality")


def test_two_stream_raises_for_wrong_number_of_modalities():
    with pytest.raises(ValueError, match=r"modalities must have shape \(8,\).* got \(3,\)"):
        models.TwoStream("small", 3)(images(), MODALITIES[:3])


class Stage(nn.Module):
    """The strided parts of the first bottleneck of a residual network's last stage."""

    def __init__(self):
        super().__init__()
        self.conv2 = nn.Conv2d(4, 4, 3, stride=2, padding=1)
        self.pool = nn.AvgPool2d(2, 2)
        self.shortcut = nn.Conv2d(4, 4, 1, stride=2)

    def forward(self, x):
        return self.conv2(x) + self.shortcut(x)


def test_last_stride_1_keeps_the_size_without_dilation():
    network = nn.Module()
    network.layer4 = nn.Sequential(Stage())
    set_last_stride_to_1(network)
    assert network.layer4(torch.rand(1, 4, 8, 4)).shape == (1, 4, 8, 4)
    assert network.layer4[0].conv2.dilation == (1, 1)
    assert isinstance(network.layer4[0].pool, nn.Identity)


@pytest.mark.parametrize("name", ["resnet18", "resnet50", "resnet50d"])
def test_timm_resnet_has_last_stride_1(name):
    timm = timm_or_skip()
    x = images(2, (64, 32))
    backbone = models.build_backbone(name).eval()
    plain = timm.create_model(name, num_classes=0).eval()
    last_map = backbone.trunk(backbone.stem(x))
    height, width = plain.forward_features(x).shape[2:]
    assert last_map.shape[2:] == (2 * height, 2 * width)
    torch.testing.assert_close(backbone(x), F.adaptive_avg_pool2d(last_map, 1).flatten(1))


def test_timm_resnet_loads_a_state_dict_with_classifier(tmp_path):
    timm = timm_or_skip()
    source = timm.create_model("resnet18", num_classes=10)
    torch.save(source.state_dict(), tmp_path / "resnet18.pth")
    backbone = models.build_backbone("resnet18", tmp_path / "resnet18.pth")
    assert torch.equal(backbone.stem[0].weight, source.conv1.weight)
    model = models.TwoStream(backbone, 4, stem="per_modality")
    assert model(images(size=(64, 32)), MODALITIES).features.shape == (8, 512)


def test_build_backbone_raises_for_unknown_timm_name():
    timm_or_skip()
    with pytest.raises(ValueError, match="name must be 'small' or a timm model, got 'resnet51'"):
        models.build_backbone("resnet51")


def test_stripe_normalises_pooled_features():
    stripe = models.Stripe(4, 3, "shared", 0.001)
    pooled = torch.randn(8, 4, generator=torch.Generator().manual_seed(0))
    out = stripe(pooled, torch.zeros(8).long())
    torch.testing.assert_close(out, torch.nn.BatchNorm1d(4)(pooled))
