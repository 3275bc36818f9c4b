"""Viewpoint-aware loss: identities, their views, and the angle between the two classifiers."""

import itertools

import torch
from torch import Tensor, nn
from torch.nn import functional as F

from reid_ext import ops
from reid_ext._runtime.argument_error import named
from reid_ext._runtime.arguments import (
    ArgumentError,
    boolean_mask,
    choice,
    dense,
    integer,
    integers,
    number,
)
from reid_ext._runtime.arguments import features as read_features
from reid_ext.losses._inputs import MOST, promoted

REGULARISATIONS = ("angular", "euclidean")

_INITIAL_STD = 0.001  # near uniform softmaxes at the start: the loss begins at ln C + ln(C V)


@named(x="identity_weight", y="view_weight")
def angular_regularisation(
    identity_weight: Tensor, view_weight: Tensor, present: Tensor | None = None
) -> Tensor:
    """Return the mean of ``1 - cos(W_j, U_jk)`` over the classes (j, k) that are present.

    The paper prints the sum of the cosines as a loss, but says that it draws the centres of the
    views to that of the identity: so it is the cosine that has to grow. The mean makes its weight
    mean the same for any number of identities.

    Args:
        identity_weight: W of shape (C, D); a zero row has cosine 0 and no gradient.
        view_weight: U of shape (C, V, D).
        present: Bool of shape (C, V), False for classes that do not exist. None: all exist.

    Returns:
        A scalar in [0, 2], 0 where no class is present.
    """
    function = "angular_regularisation"
    identity_weight = read_features(function, "identity_weight", identity_weight)
    present = _read_classes(function, view_weight, present)
    cosine = ops.cosine_matrix(identity_weight.unsqueeze(1), view_weight).squeeze(1)  # (C, V)
    return _mean(1 - cosine, present)


def euclidean_regularisation(view_weight: Tensor, present: Tensor | None = None) -> Tensor:
    """Return the mean distance between the view centres of one identity, over the identities.

    What the paper's released code has in place of the angles, with its sum over identities made
    a mean: within an identity it averages over the pairs of views that are present. An identity
    of one view has none and counts as 0; coincident centres have no gradient.

    Args:
        view_weight: U of shape (C, V, D).
        present: Bool of shape (C, V), False for classes that do not exist. None: all exist.

    Returns:
        A scalar, not negative.
    """
    present = _read_classes("euclidean_regularisation", view_weight, present)
    distances, both = [], []
    views = range(view_weight.shape[1])
    for a, b in itertools.combinations(views, 2):
        square = (view_weight[:, a] - view_weight[:, b]).square().sum(1)
        apart = square > 0
        distances.append(torch.where(apart, square, 1).sqrt() * apart)
        exist = torch.ones_like(apart) if present is None else present[:, a] & present[:, b]
        both.append(exist.to(square.dtype))
    if not distances or len(view_weight) == 0:
        return view_weight.sum() * 0
    weight = torch.stack(both, 1)  # (C, pairs)
    distance = (torch.stack(distances, 1) * weight).sum(1) / weight.sum(1).clamp(min=1)
    return distance.mean()


def _read_classes(function: str, view_weight: Tensor, present: Tensor | None) -> Tensor | None:
    """Check the weights of the (identity, view) classes, and read which of them exist."""
    shape = dense(function, "view_weight", view_weight).shape
    if len(shape) != 3:
        raise ArgumentError(function, "view_weight", "have shape (C, V, D)", str(tuple(shape)))
    if present is None:
        return None
    return boolean_mask(function, "present", present, (shape[0], shape[1]), "pair of identity and view")


def present_views(
    labels: Tensor, views: Tensor, *, num_identities: int, num_views: int = 3
) -> Tensor:
    """Return which (identity, view) classes a training set has, as bool of shape (C, V).

    Args:
        labels: Identities of all training images, (M,), in [0, num_identities).
        views: Their views, (M,), in [0, num_views), or -1 where not known.
        num_identities: C.
        num_views: V.

    Raises:
        ArgumentError: an identity or view out of range.
    """
    function = "present_views"
    num_identities = integer(function, "num_identities", num_identities, 0, MOST)
    num_views = integer(function, "num_views", num_views, 0, MOST)
    labels = integers(function, "labels", labels)
    if labels.is_meta:
        raise ArgumentError(function, "labels", "be a tensor with values", "a meta tensor")
    views = integers(function, "views", views, device=labels.device)
    if labels.dim() != 1 or views.shape != labels.shape:
        requirement = f"have shape (M,) like labels {tuple(labels.shape)}"
        raise ArgumentError(function, "views", requirement, str(tuple(views.shape)))
    known = views != -1
    labels, views = labels[known], views[known]
    for name, values, size in (("labels", labels, num_identities), ("views", views, num_views)):
        outside = values[(values < 0) | (values >= size)]
        if len(outside):
            raise ArgumentError(function, name, f"be in [0, {size})", str(outside[0].item()))
    present = torch.zeros(num_identities, num_views, dtype=torch.bool, device=labels.device)
    present[labels, views] = True
    return present


def _mean(values: Tensor, present: Tensor | None) -> Tensor:
    if present is None:
        present = torch.ones_like(values, dtype=torch.bool)
    return torch.where(present, values, 0).sum() / present.sum().clamp(min=1)


class ViewpointAwareLoss(nn.Module):
    """Classify identities and their views, and keep each identity's views at a small angle.

    ``L_y + gamma * L_v + beta * L_R``: softmax over C identities with adaptive label smoothing,
    softmax over the (identity, view) classes, and the regularisation of the two classifiers'
    weights, which this module holds. The paper prints its three terms without a minus; this
    minimises cross entropies and raises the cosines.

    Args:
        num_identities: C.
        feature_dim: D.
        num_views: V, 3 in the paper: front, side, back.
        alpha: Scale of the adaptive labels of both softmaxes, in [0, 0.5]; 0.25 in the released
            code. The paper prints no value.
        beta: Weight of the regularisation. No source gives the paper's value; 1 is ours. As it
            weighs a mean over the classes, and the cross entropies see each class in about one
            of C V rows, their balance does not move with C or V.
        present: Bool of shape (C, V), False for views an identity never shows: they are no
            classes. None: all exist. :func:`present_views` makes it from a training set.
        labels: Labels of the view classes: ``"adaptive"`` (the paper), ``"fixed"`` (the released
            code: 0.6 / 0.15 / 0.1) or ``"hard"``; see :func:`reid_ext.ops.viewpoint_loss`.
        regularisation: ``"angular"`` (the paper) or ``"euclidean"`` (the released code).
        gamma: Weight of the viewpoint softmax: 1 in the paper; in the released code, which calls
            it ``gama``, it falls to 0.3 on the way.

    Shape:
        features (N, D); labels (N,) in [0, C); views (N,) in [0, V), or -1 where not known: such a
        row counts for the identity only. Returns a scalar.

    ``identity_weight`` (C, D) and ``view_weight`` (C, V, D) are parameters without a bias. After a
    call, ``parts`` has its terms by name, detached: ``identity``, ``viewpoint`` and
    ``regularisation``, the last without beta.

    Source:
        Zhu et al. 2020, arXiv:1912.01300.
    """

    present: Tensor | None

    def __init__(
        self,
        num_identities: int,
        feature_dim: int,
        num_views: int = 3,
        alpha: float = 0.25,
        beta: float = 1.0,
        present: Tensor | None = None,
        labels: str = "adaptive",
        regularisation: str = "angular",
        gamma: float = 1.0,
    ):
        super().__init__()
        function = "ViewpointAwareLoss"
        identities = integer(function, "num_identities", num_identities, 1, MOST)
        dim = integer(function, "feature_dim", feature_dim, 1, MOST)
        most = MOST // identities
        what = f"2**31 - 1 classes in all with {identities} identities"
        self.num_views = integer(function, "num_views", num_views, 1, most, what)
        if present is not None:
            sizes = identities, self.num_views
            present = boolean_mask(function, "present", present, sizes, "pair of identity and view")
        self.alpha = number(function, "alpha", alpha, 0, 0.5)
        self.beta = number(function, "beta", beta)
        self.gamma = number(function, "gamma", gamma)
        self.labels = choice(function, "labels", labels, ops.VIEW_TARGETS)
        self.regularisation = choice(function, "regularisation", regularisation, REGULARISATIONS)
        self.identity_weight = nn.Parameter(torch.empty(identities, dim))
        self.view_weight = nn.Parameter(torch.empty(identities, self.num_views, dim))
        self.register_buffer("present", present)
        self.parts: dict[str, Tensor] = {}
        self.reset_parameters()

    def reset_parameters(self) -> None:
        nn.init.normal_(self.identity_weight, std=_INITIAL_STD)
        nn.init.normal_(self.view_weight, std=_INITIAL_STD)

    def extra_repr(self) -> str:
        identities, views, dim = self.view_weight.shape
        sizes = f"num_identities={identities}, feature_dim={dim}, num_views={views}"
        weights = f"alpha={self.alpha}, beta={self.beta}, gamma={self.gamma}"
        choices = f"labels={self.labels!r}, regularisation={self.regularisation!r}"
        return f"{sizes}, {weights}, {choices}"

    @named()
    def identity_loss(self, features: Tensor, labels: Tensor) -> Tensor:
        logits = _logits(features, self.identity_weight)
        return ops.adaptive_label_smoothing_loss(logits, labels, alpha=self.alpha)

    @named()
    def viewpoint_loss(self, features: Tensor, labels: Tensor, views: Tensor) -> Tensor:
        return ops.viewpoint_loss(
            _logits(features, self.view_weight.flatten(0, 1)),
            labels,
            views,
            num_views=self.num_views,
            alpha=self.alpha,
            targets=self.labels,
            present=self.present,
        )

    def regularisation_loss(self) -> Tensor:
        if self.regularisation == "euclidean":
            return euclidean_regularisation(self.view_weight, self.present)
        return angular_regularisation(self.identity_weight, self.view_weight, self.present)

    def forward(self, features: Tensor, labels: Tensor, views: Tensor) -> Tensor:
        identity = self.identity_loss(features, labels)
        viewpoint = self.viewpoint_loss(features, labels, views)
        regularisation = self.regularisation_loss()
        self.parts = {
            "identity": identity.detach(),
            "viewpoint": viewpoint.detach(),
            "regularisation": regularisation.detach(),
        }
        return identity + self.gamma * viewpoint + self.beta * regularisation


def _logits(features: Tensor, weight: Tensor) -> Tensor:
    """Of either classifier, in the wider dtype of the two."""
    x = read_features("ViewpointAwareLoss", "features", features, weight.shape[1])
    return F.linear(*promoted(x, weight))
