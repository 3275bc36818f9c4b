"""Recipes: all numbers of a training run, with their sources.

``SYSU``, ``MARKET1501`` and ``DUKEMTMC`` follow the released code of expAT (Ye et al. 2020,
arXiv:2006.00878), whose schedule counts iterations for two modalities and epochs for one modality.
The recipes of other datasets use the same values. ``EMBEDDED`` and ``EMBEDDED_VISIBLE`` train the
small network on the synthetic datasets, on a CPU.
"""

from dataclasses import dataclass, replace

from reid_ext._runtime.arguments import ArgumentError, choice, number
from reid_ext.ops import METRICS, VIEW_TARGETS

SCHEDULES = ("multi_step", "cosine")


@dataclass(frozen=True)
class Recipe:
    """Settings of a training run.

    Use ``dataclasses.replace`` to change values. All durations, such as ``warmup``, are numbers of
    iterations.

    Attributes:
        name: Name of the recipe.
        backbone: ``"small"`` or the name of a timm model.
        neck: ``"shared"`` or ``"per_modality"``. A method may replace it by ``"none"``.
        stripes: Number of local branches. A method may change it.
        modalities: 2 for visible and infrared images, 1 for visible images only.
        metric: Metric of the evaluation, such as ``"cosine"``.
        size: Height and width of the images in pixels.
        part: Part of the image: ``"whole"``, or ``"top"``, ``"middle"`` or ``"bottom"`` third.
        flip: Probability of a horizontal flip in training.
        pad: Largest vertical and horizontal shift of the image in training, in pixels.
        erase: Probability of random erasing.
        mix: Probability that a random average replaces the three colour channels.
        gain: Standard deviation of the logarithm of the contrast factor.
        offset: Standard deviation of the brightness change, in units of ImageNet's deviation.
        identities_per_batch: Number of identities P.
        images_per_modality: Number of images K of each modality per identity. A batch has
            modalities x P x K images.
        iterations: Length of the training.
        learning_rate: Base learning rate of Adam.
        weight_decay: Weight decay of all parameters except biases.
        bias_learning_rate_factor: Learning rate of biases relative to the base.
        bias_weight_decay: Weight decay of biases.
        warmup: Iterations of linear warm-up.
        warmup_start: Share of the learning rate at iteration 0.
        schedule: ``"multi_step"`` or ``"cosine"``.
        milestones: Iterations at which a multi-step schedule multiplies the rate by ``decay``.
        decay: Factor at each milestone, or the final share of the learning rate of the cosine
            schedule.
        save_every: Iterations between two checkpoints.
        parts: Number of parts of a batch that pass through the network one after the other.
        average: Decay of the moving average of the parameters that is evaluated. 0: no average.
        label_smoothing: Label smoothing of the identity loss.
        id_weight: Weight of the identity loss.
        metric_weight: Weight of every metric loss except those of expAT.
        expat_weight: Weight of expAT.
        expat_weight_with_center: Weight of expAT together with the center loss.
        center_weight: Weight of the center loss.
        center_learning_rate: Learning rate of the SGD over the centres.
        view_alpha: Scale of the adaptive labels of VA-reID, in [0, 0.5].
        view_gamma: Weight of the viewpoint cross entropy of VA-reID.
        view_beta: Weight of the angular regularisation of VA-reID.
        view_labels: Labels of that cross entropy: ``"adaptive"``, ``"fixed"`` or ``"hard"``.
        metric_ramp: Iterations between which the weight of the metric losses grows from 0 to 1.
        aggregation: Aggregation of the expAT loss: ``"mean_of_exp"`` or ``"exp_of_mean"``.
        triplet_margin: Margin of the triplet loss.

    Raises:
        ArgumentError: a value is out of range.

    Examples:
        >>> from dataclasses import replace
        >>> from reid_ext import training
        >>> recipe = replace(training.MARKET1501, images_per_modality=2)
        >>> training.MARKET1501.batch_size, recipe.batch_size
        (64, 32)
    """

    name: str
    backbone: str
    neck: str
    stripes: int
    modalities: int
    metric: str

    size: tuple[int, int]
    part: str
    flip: float
    pad: tuple[int, int]
    erase: float
    mix: float
    gain: float
    offset: float

    identities_per_batch: int
    images_per_modality: int

    iterations: int
    learning_rate: float
    weight_decay: float
    bias_learning_rate_factor: float
    bias_weight_decay: float
    warmup: int
    warmup_start: float
    schedule: str
    milestones: tuple[int, ...]
    decay: float
    save_every: int
    parts: int
    average: float

    label_smoothing: float
    id_weight: float
    metric_weight: float
    expat_weight: float
    expat_weight_with_center: float
    center_weight: float
    center_learning_rate: float
    view_alpha: float
    view_gamma: float
    view_beta: float
    view_labels: str
    metric_ramp: tuple[int, int]
    aggregation: str
    triplet_margin: float

    def __post_init__(self) -> None:
        for name in _POSITIVE:
            number("Recipe", name, getattr(self, name), above=0)
        for name in _SHARES:
            number("Recipe", name, getattr(self, name), 0, 1)
        for name in _NOT_NEGATIVE:
            number("Recipe", name, getattr(self, name), 0)
        for name in _DURATIONS:
            value = getattr(self, name)
            counts = value if isinstance(value, tuple) else (value,)
            if any(count < 0 for count in counts) or sorted(counts) != [*counts]:
                raise ArgumentError("Recipe", name, "be >= 0 and ascending", f"{value}")
        for name, allowed in _CHOICES.items():
            choice("Recipe", name, getattr(self, name), allowed)
        number("Recipe", "average", self.average, 0, below=1)  # 1 would average nothing

    @property
    def batch_size(self) -> int:
        """Number of images in a batch."""
        return self.modalities * self.identities_per_batch * self.images_per_modality


_POSITIVE = (
    "identities_per_batch",
    "images_per_modality",
    "iterations",
    "learning_rate",
    "save_every",
    "parts",
)
_SHARES = ("flip", "erase", "mix", "warmup_start", "decay", "label_smoothing")
_NOT_NEGATIVE = (
    *("weight_decay", "bias_weight_decay", "bias_learning_rate_factor", "center_learning_rate"),
    *("id_weight", "metric_weight", "expat_weight", "expat_weight_with_center", "center_weight"),
)
_DURATIONS = ("warmup", "milestones", "metric_ramp")
_CHOICES = {"schedule": SCHEDULES, "metric": METRICS, "view_labels": VIEW_TARGETS}

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
    bias_learning_rate_factor=2.0,  # for parameters with "bias" in their name
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
    view_gamma=1.0,  # equation of the paper; the released code lowers it to 0.3 while it trains
    view_beta=1.0,  # our choice, because no source gives a value
    view_labels="adaptive",  # as on the poster; the released code has fixed labels
    metric_ramp=(0, 0),  # the released code has no ramp
    aggregation="mean_of_exp",  # eq. 10; the released code has "exp_of_mean"
    triplet_margin=0.3,  # of the visible-only baselines
)

# The released code has no recipe for RegDB.
REGDB = replace(SYSU, name="regdb")


def _in_epochs(name: str, training_images: int) -> Recipe:
    """The released recipe for visible images: 120 epochs, warm-up 10, steps at 40 and 70."""
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
# These datasets have no released recipe, so they use the same one and as many epochs.
CUHK03 = _in_epochs("cuhk03", 7_365)
MSMT17 = _in_epochs("msmt17", 30_248)
VERI776 = replace(_in_epochs("veri776", 37_778), size=(256, 256))  # vehicles are wide

# For the small network on the synthetic datasets: 1,200 iterations take minutes on a CPU.
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
    pad=(4, 2),  # larger shifts slow down learning at this image size
    erase=0.0,
    mix=0.6,  # without it the network learns a shortcut per modality: colour, reflectance
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
    metric_ramp=(60, 200),  # without a ramp, expAT can collapse: every cosine becomes 1
    aggregation="mean_of_exp",
    triplet_margin=0.3,
)

# The same for visible images only, where colour helps, so mix is 0.
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
