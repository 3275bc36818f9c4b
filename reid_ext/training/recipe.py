"""Recipes: every number that a training run depends on, with its source.

``SYSU``, ``MARKET1501`` and ``DUKEMTMC`` follow the released code of expAT (Ye et al. 2020,
arXiv:2006.00878), whose schedule counts iterations for two modalities and epochs for one. The other
datasets use the same values. ``EMBEDDED`` and ``EMBEDDED_VISIBLE`` train the small network on the
synthetic datasets, on a CPU.
"""

from dataclasses import dataclass, replace

from reid_ext._runtime.arguments import ArgumentError


@dataclass(frozen=True)
class Recipe:
    """Settings of a run; ``dataclasses.replace`` makes a variant. Counts are iterations."""

    name: str
    backbone: str
    neck: str  # "shared" | "per_modality"; a method may ask for "none"
    stripes: int  # local branches; a method may ask for some
    modalities: int  # 2: visible and infrared; 1: visible alone
    metric: str  # of the evaluation

    size: tuple[int, int]  # height, width in pixels
    part: str  # of the image: "whole", or one third of it: "top" | "middle" | "bottom"
    flip: float  # this and the next five: arguments of data.TrainingTransform
    pad: tuple[int, int]
    erase: float
    mix: float
    gain: float
    offset: float

    identities_per_batch: int
    images_per_modality: int  # of each identity, so a batch has modalities x P x K images

    iterations: int
    learning_rate: float
    weight_decay: float
    bias_learning_rate_factor: float
    bias_weight_decay: float
    warmup: int
    warmup_start: float  # share of the learning rate at iteration 0
    schedule: str  # "multi_step" | "cosine"
    milestones: tuple[int, ...]  # multi_step: where decay multiplies the learning rate
    decay: float  # multi_step: that factor; cosine: share of the learning rate at the end
    save_every: int
    parts: int  # of a batch; activations of one part at a time are in memory; 1: all at once
    average: float  # decay of the average of the parameters that is evaluated; 0: no average

    label_smoothing: float
    id_weight: float
    metric_weight: float  # of every metric loss except those of expAT
    expat_weight: float
    expat_weight_with_center: float
    center_weight: float
    center_learning_rate: float  # of the centres' own SGD
    view_alpha: float  # of the adaptive labels of VA-reID
    view_gamma: float  # of its viewpoint softmax
    view_beta: float  # of its angular regularisation
    view_labels: str  # of its viewpoint softmax: "adaptive" | "fixed" | "hard"
    metric_ramp: tuple[int, int]  # the metric loss's weight grows from 0 to full between these
    aggregation: str  # of the expAT loss
    triplet_margin: float

    def __post_init__(self) -> None:
        for name in _POSITIVE:
            if not getattr(self, name) > 0:
                raise ArgumentError("Recipe", name, "be above 0", f"{getattr(self, name)}")
        for name in _SHARES:
            if not 0 <= getattr(self, name) <= 1:
                raise ArgumentError("Recipe", name, "be in [0, 1]", f"{getattr(self, name)}")

    @property
    def batch_size(self) -> int:
        return self.modalities * self.identities_per_batch * self.images_per_modality


_POSITIVE = (
    "identities_per_batch",
    "images_per_modality",
    "iterations",
    "learning_rate",
    "save_every",
    "parts",
)
_SHARES = ("flip", "erase", "mix", "warmup_start", "decay", "average", "label_smoothing")

SYSU = Recipe(
    name="sysu",
    backbone="resnet50",  # ImageNet weights, last stride 1
    modalities=2,
    stripes=0,
    neck="per_modality",  # released code: one BatchNorm1d each, bias frozen
    metric="squared_euclidean",  # released code: features after the norm, not normalised
    size=(384, 128),
    part="whole",
    flip=0.5,
    pad=(10, 10),
    erase=0.5,
    mix=0.0,
    gain=0.0,
    offset=0.0,
    identities_per_batch=8,  # released code: 8 samples of 6 images, 3 of each modality = 48
    images_per_modality=3,
    iterations=30_000,
    learning_rate=3e-4,
    weight_decay=5e-4,
    bias_learning_rate_factor=2.0,  # parameters with "bias" in their name
    bias_weight_decay=0.0,
    warmup=500,
    warmup_start=1 / 3,
    schedule="multi_step",
    milestones=(10_000, 20_000),
    decay=0.1,
    save_every=5_000,
    parts=1,
    average=0.0,
    label_smoothing=0.1,
    id_weight=1.0,
    metric_weight=1.0,
    expat_weight=1.0,
    expat_weight_with_center=1.0,  # the released code has no centres for two modalities
    center_weight=5e-4,
    center_learning_rate=0.5,
    view_alpha=0.25,  # released code of VA-reID
    view_gamma=1.0,  # eq.; the released code lowers it to 0.3 on the way
    view_beta=1.0,  # no source gives it
    view_labels="adaptive",  # the poster; the released code has fixed ones
    metric_ramp=(0, 0),  # none in the released code
    aggregation="mean_of_exp",  # eq. 10; the released code has "exp_of_mean"
    triplet_margin=0.3,  # of the visible-only baselines
)

# The released code has no recipe for RegDB.
REGDB = replace(SYSU, name="regdb")


def _in_epochs(name: str, training_images: int) -> Recipe:
    """The released code's recipe for visible images: 120 epochs, warm-up 10, steps at 40 and 70."""
    identities, images = 16, 4
    epoch = -(-training_images // (identities * images))  # batches that see every image once
    return replace(
        SYSU,
        name=name,
        modalities=1,
        neck="shared",  # released code: one BatchNorm1d, bias frozen
        metric="cosine",  # released code: squared Euclidean of normalised features, the same order
        size=(256, 128),
        identities_per_batch=identities,
        images_per_modality=images,
        iterations=120 * epoch,
        learning_rate=3.5e-4,
        bias_learning_rate_factor=1.0,
        bias_weight_decay=5e-4,
        warmup=10 * epoch,
        warmup_start=0.01,
        milestones=(40 * epoch, 70 * epoch),
        save_every=5 * epoch,
        expat_weight=0.1,
        expat_weight_with_center=0.001,
        aggregation="mean_of_exp",
    )


MARKET1501 = _in_epochs("market1501", 12_936)
DUKEMTMC = _in_epochs("dukemtmc", 16_522)
# There is no released recipe for these: the same one with the same number of epochs.
CUHK03 = _in_epochs("cuhk03", 7_365)
MSMT17 = _in_epochs("msmt17", 30_248)
VERI776 = replace(_in_epochs("veri776", 37_778), size=(256, 256))  # wide vehicles

# For the small network on the rendered data set: 1,200 iterations fit in minutes on a CPU.
EMBEDDED = Recipe(
    name="embedded",
    backbone="small",
    neck="shared",
    stripes=0,
    modalities=2,
    metric="cosine",
    size=(96, 48),
    part="whole",
    flip=0.5,
    pad=(4, 2),  # larger moves slow the learning at this size
    erase=0.0,
    mix=0.6,  # otherwise the network learns one shortcut per modality, colour and reflectance
    gain=0.15,
    offset=0.15,
    identities_per_batch=8,
    images_per_modality=4,
    iterations=1_200,
    learning_rate=1e-3,
    weight_decay=5e-4,
    bias_learning_rate_factor=1.0,
    bias_weight_decay=5e-4,
    warmup=30,
    warmup_start=1 / 30,
    schedule="cosine",
    milestones=(),
    decay=0.01,
    save_every=300,
    parts=1,
    average=0.0,
    label_smoothing=0.0,
    id_weight=1.0,
    metric_weight=1.0,
    expat_weight=1.0,
    expat_weight_with_center=1.0,
    center_weight=5e-4,
    center_learning_rate=0.5,
    view_alpha=0.25,
    view_gamma=1.0,
    view_beta=1.0,
    view_labels="adaptive",
    metric_ramp=(60, 200),  # from iteration 0 expAT can collapse: every cosine 1
    aggregation="mean_of_exp",
    triplet_margin=0.3,
)

# The same for visible images only, where colour helps, so it is not mixed away.
EMBEDDED_VISIBLE = replace(
    EMBEDDED,
    name="embedded_visible",
    modalities=1,
    mix=0.0,
    identities_per_batch=16,
    images_per_modality=4,
    iterations=600,
    save_every=200,
)
