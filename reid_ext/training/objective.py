"""Objectives: weighted sums of losses over the embeddings of one batch.

To add a method, add one entry with the terms of its sum to ``OBJECTIVES``. Each term has a loss,
the part of the batch that the loss is applied to, and its weight in a recipe.
"""

from collections.abc import Callable
from dataclasses import replace
from typing import NamedTuple, cast

from torch import Tensor, nn
from torch.nn import functional as F

from reid_ext._runtime.arguments import choice, within
from reid_ext.losses import (
    CenterLoss,
    CircleLoss,
    ContrastiveLoss,
    ExpATLoss,
    FIDILoss,
    MultiSimilarityLoss,
    TripletLoss,
    ViewpointAwareLoss,
)
from reid_ext.models import Embedding, Stripe, TwoStream
from reid_ext.training.recipe import Recipe
from reid_ext.training.schedule import ramp


class Targets(NamedTuple):
    """The labels of the N images of a batch, each of shape (N,), int64.

    Attributes:
        labels: Training labels in [0, num_identities).
        modalities: 0 for visible and 1 for infrared images.
        views: 0 for front, 1 for side, 2 for back, -1 if unknown.

    Examples:
        >>> import torch
        >>> from reid_ext import training
        >>> labels = torch.tensor([0, 0, 1, 1])
        >>> targets = training.Targets(labels, torch.zeros(4).long(), views=torch.full((4,), -1))
        >>> targets.views.tolist()
        [-1, -1, -1, -1]
    """

    labels: Tensor
    modalities: Tensor
    views: Tensor


class Setting(NamedTuple):
    """The recipe, head and views for which a loss is built."""

    recipe: Recipe
    head: TwoStream | Stripe
    present: Tensor | None  # (num_identities, 3) bool: the views of each identity


class Term(NamedTuple):
    """One loss of a sum: how to build it, what to apply it to, and its weight."""

    name: str
    build: Callable[[Setting], nn.Module]
    apply: Callable[[nn.Module, Embedding, Targets], Tensor]
    weight: Callable[[Recipe], float]
    ramped: bool = True  # whether the weight grows from 0, by the metric_ramp of the recipe
    settings: tuple[str, ...] = ()  # settings of the recipe that only some terms use


class Method(NamedTuple):
    """The terms of a sum, and the changes to the network of the recipe that they need."""

    terms: tuple[Term, ...]
    neck: str | None = None
    stripes: int | None = None  # number of local branches, which minimise the same sum each

    @property
    def settings(self) -> set[str]:
        """The settings of the recipe that its terms use and other terms do not."""
        ramp = {"metric_ramp"} if any(term.ramped for term in self.terms) else set()
        return ramp.union(*(term.settings for term in self.terms))

    def network(self, recipe: Recipe) -> Recipe:
        """Return the recipe with the network that this method needs."""
        stripes = recipe.stripes if self.stripes is None else self.stripes
        return replace(recipe, neck=self.neck or recipe.neck, stripes=stripes)


class IdentityLoss(nn.Module):
    """Softmax cross-entropy over the training identities, with the classifier of the model."""

    def __init__(self, setting: Setting):
        super().__init__()
        self.classifier = setting.head.classifier
        self.label_smoothing = setting.recipe.label_smoothing

    def forward(self, features: Tensor, labels: Tensor) -> Tensor:
        return F.cross_entropy(
            self.classifier(features), labels, label_smoothing=self.label_smoothing
        )


class ModalitiesLoss(nn.Module):
    """expAT from each modality to the other, or within the modality if the recipe has only one."""

    def __init__(self, setting: Setting):
        super().__init__()
        self.loss = ExpATLoss(aggregation=setting.recipe.aggregation)
        self.both = setting.recipe.modalities == 2

    def forward(self, features: Tensor, labels: Tensor, modalities: Tensor) -> Tensor:
        return self.loss(features, labels, modalities if self.both else None)


def _viewpoint_aware(setting: Setting) -> nn.Module:
    """The loss of VA-reID; its identity centres W are the rows of the classifier of the model."""
    classifier = setting.head.classifier
    loss = ViewpointAwareLoss(
        classifier.out_features,
        classifier.in_features,
        alpha=setting.recipe.view_alpha,
        gamma=setting.recipe.view_gamma,
        beta=setting.recipe.view_beta,
        present=setting.present,
        labels=setting.recipe.view_labels,
    )
    loss.identity_weight = cast(nn.Parameter, classifier.weight)
    return loss


def _before_the_neck(
    name: str, build: Callable[[Setting], nn.Module], settings: tuple[str, ...] = ()
) -> Term:
    """A loss over pairs of pooled features, which ignores the modalities."""
    return Term(
        name,
        build,
        lambda loss, embedding, targets: loss(embedding.pooled, targets.labels),
        lambda recipe: recipe.metric_weight,
        settings=("metric_weight", *settings),
    )


def _after_the_neck(name: str, build: Callable[[Setting], nn.Module]) -> Term:
    """A loss over pairs of features in the common space, for losses of angles."""
    return Term(
        name,
        build,
        lambda loss, embedding, targets: loss(embedding.features, targets.labels),
        lambda recipe: recipe.metric_weight,
        settings=("metric_weight",),
    )


IDENTITY = Term(
    "id",
    IdentityLoss,
    lambda loss, embedding, targets: loss(embedding.features, targets.labels),
    lambda recipe: recipe.id_weight,
    ramped=False,
    settings=("label_smoothing",),
)
TRIPLET = _before_the_neck(
    "triplet", lambda s: TripletLoss(margin=s.recipe.triplet_margin), ("triplet_margin",)
)
FIDI = _before_the_neck("fidi", lambda s: FIDILoss())
EXPAT = Term(
    "expat",
    ModalitiesLoss,
    lambda loss, embedding, targets: loss(embedding.features, targets.labels, targets.modalities),
    lambda recipe: recipe.expat_weight,
    settings=("expat_weight", "aggregation"),
)
EXPAT_WITH_CENTER = EXPAT._replace(
    weight=lambda recipe: recipe.expat_weight_with_center,
    settings=("expat_weight_with_center", "aggregation"),
)
CENTER = Term(
    "center",
    lambda s: CenterLoss(s.head.classifier.out_features, s.head.classifier.in_features),
    lambda loss, embedding, targets: loss(embedding.features, targets.labels),
    lambda recipe: recipe.center_weight,
    ramped=False,
    settings=("center_weight", "center_learning_rate"),
)
VIEWPOINT_AWARE = Term(
    "va",
    _viewpoint_aware,
    lambda loss, embedding, targets: loss(embedding.features, targets.labels, targets.views),
    lambda recipe: recipe.id_weight,
    ramped=False,
    settings=("view_alpha", "view_gamma", "view_beta", "view_labels"),
)

_RELABEL = "map the identities to 0, 1, 2, ... with data.relabel(samples)"
LOCAL_STRIPES = 3  # top, middle and bottom, as in the crops of VA-reID's released code

OBJECTIVES: dict[str, Method] = {
    "softmax": Method((IDENTITY,)),
    "triplet": Method((IDENTITY, TRIPLET), neck="none"),
    "bnneck": Method((IDENTITY, TRIPLET)),
    "contrastive": Method((IDENTITY, _before_the_neck("contrastive", lambda s: ContrastiveLoss()))),
    "circle": Method((IDENTITY, _after_the_neck("circle", lambda s: CircleLoss()))),
    "multi_similarity": Method(
        (IDENTITY, _after_the_neck("multi_similarity", lambda s: MultiSimilarityLoss()))
    ),
    "fidi": Method((IDENTITY, FIDI)),  # bnneck with FIDI instead of the triplet loss
    "fidi_local": Method((IDENTITY, FIDI), stripes=LOCAL_STRIPES),
    "va": Method((VIEWPOINT_AWARE,)),
    "va_local": Method((VIEWPOINT_AWARE,), stripes=LOCAL_STRIPES),
    "expat_center": Method((IDENTITY, EXPAT_WITH_CENTER, CENTER)),
    "expat": Method((IDENTITY, EXPAT)),
}


class Losses(NamedTuple):
    """The value to minimise, and the unweighted, detached value of each term."""

    total: Tensor
    parts: dict[str, Tensor]


class Objective(nn.Module):
    """The weighted sum of the losses of a method over one batch.

    For a network with several heads, the value is the mean over the heads. ``parameters()`` are
    those of the losses and, if a loss uses it, of the classifier of the model.

    Args:
        name: Name of the method, a key of ``OBJECTIVES``.
        recipe: Weights, ramp and settings of the losses.
        model: Network that computes the embeddings.
        present: Views of each training identity, bool of shape (num_identities, 3), for the method
            ``"va"``. Default: None, every identity has all views.

    Raises:
        ArgumentError: ``name`` is not a method.

    Examples:
        >>> import torch
        >>> from reid_ext import models, training
        >>> model = models.TwoStream("small", num_identities=2)
        >>> objective = training.build_objective("expat", training.EMBEDDED_VISIBLE, model)
        >>> labels, zeros = torch.tensor([0, 0, 1, 1]), torch.zeros(4, dtype=torch.int64)
        >>> targets = training.Targets(labels, modalities=zeros, views=zeros - 1)
        >>> losses = objective(model(torch.rand(4, 3, 32, 16), zeros), targets, iteration=0)
        >>> list(losses.parts), losses.total.shape
        (['id', 'expat'], torch.Size([]))
    """

    def __init__(self, name: str, recipe: Recipe, model: TwoStream, present: Tensor | None = None):
        super().__init__()
        self.name = name
        self.recipe = recipe
        self.terms = method(name).terms
        self.split = model.split
        self.num_identities = model.heads[0].classifier.out_features
        settings = [Setting(recipe, head, present) for head in model.heads]
        self.losses = nn.ModuleList(
            nn.ModuleDict({term.name: term.build(setting) for term in self.terms})
            for setting in settings
        )

    def forward(self, embedding: Embedding, targets: Targets, iteration: int) -> Losses:
        within("Objective", "targets.labels", targets.labels, self.num_identities, "", _RELABEL)
        total = embedding.features.new_zeros(())
        parts: dict[str, Tensor] = {}
        share = 1 / len(self.losses)
        for losses, part in zip(self.losses, self.split(embedding), strict=True):
            of_head = self._of_head(cast(nn.ModuleDict, losses), part, targets, iteration)
            total = total + share * of_head.total
            for name, value in of_head.parts.items():
                parts[name] = parts.get(name, 0.0) + share * value
        return Losses(total, parts)

    def _of_head(
        self, losses: nn.ModuleDict, embedding: Embedding, targets: Targets, iteration: int
    ) -> Losses:
        total, parts = embedding.features.new_zeros(()), {}
        for term in self.terms:
            value = term.apply(losses[term.name], embedding, targets)
            weight = term.weight(self.recipe)
            weight *= ramp(self.recipe, iteration) if term.ramped else 1.0
            total = total + weight * value
            parts[term.name] = value.detach()
            parts.update(getattr(losses[term.name], "parts", {}))
        return Losses(total, parts)

    @property
    def center_losses(self) -> list[CenterLoss]:
        """The losses whose centres have their own optimiser."""
        return [loss for loss in self.modules() if isinstance(loss, CenterLoss)]


def method(name: str) -> Method:
    """Return the definition of a method.

    Args:
        name: A key of ``OBJECTIVES``.

    Returns:
        The terms of its sum, and the neck and stripes that its network needs.

    Raises:
        ArgumentError: ``name`` is not a method.

    Examples:
        >>> from reid_ext import training
        >>> [term.name for term in training.method("expat_center").terms]
        ['id', 'expat', 'center']
        >>> training.method("va_local").stripes
        3
    """
    return OBJECTIVES[choice("build_objective", "name", name, OBJECTIVES)]


def build_objective(
    name: str, recipe: Recipe, model: TwoStream, present: Tensor | None = None
) -> Objective:
    """Build the objective of a method for a network.

    Args:
        name: Name of the method, a key of ``OBJECTIVES``.
        recipe: Weights, ramp and settings of the losses.
        model: Network that computes the embeddings.
        present: Views of each training identity, bool of shape (num_identities, 3), for the method
            ``"va"``. Default: None, every identity has all views.

    Returns:
        A module that maps an embedding, its targets and the iteration to the losses.

    Raises:
        ArgumentError: ``name`` is not a method.

    Examples:
        >>> import torch
        >>> from reid_ext import models, training
        >>> model = models.TwoStream("small", num_identities=2)
        >>> objective = training.build_objective("expat", training.EMBEDDED_VISIBLE, model)
        >>> labels, zeros = torch.tensor([0, 0, 1, 1]), torch.zeros(4, dtype=torch.int64)
        >>> targets = training.Targets(labels, modalities=zeros, views=zeros - 1)
        >>> losses = objective(model(torch.rand(4, 3, 32, 16), zeros), targets, iteration=0)
        >>> list(losses.parts), losses.total.shape
        (['id', 'expat'], torch.Size([]))
    """
    return Objective(name, recipe, model, present)
