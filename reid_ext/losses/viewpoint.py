"""Viewpoint-aware loss: classifies identities and views, and aligns the two classifiers."""

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
    within,
)
from reid_ext._runtime.arguments import features as read_features
from reid_ext.losses._inputs import MOST, promoted

REGULARISATIONS = ("angular", "euclidean")

_INITIAL_STD = 0.001  # near-uniform softmaxes, so the loss starts at ln C + ln(C V)


@named(x="identity_weight", y="view_weight")
def angular_regularisation(
    identity_weight: Tensor, view_weight: Tensor, present: Tensor | None = None
) -> Tensor:
    """Return the mean of ``1 - cos(W_j, U_jk)`` over the (identity, view) classes (j, k).

    The paper gives the sum of the cosines as a loss, but states that it moves the centres of the
    views towards the centre of the identity. The cosines must therefore increase. A mean is used
    instead of a sum, so that a weight has the same effect for any number of identities.

    Args:
        identity_weight: Centres W of the identities, of shape (C, D). A zero row has cosine 0 and
            zero gradient.
        view_weight: Centres U of the views, of shape (C, V, D).
        present: Bool of shape (C, V), False for classes that do not exist. Default: None (all
            classes exist).

    Returns:
        A scalar in [0, 2], which is 0 if no class is present.

    Raises:
        ArgumentError: a shape, dtype or device is invalid.

    Source:
        Zhu et al. 2020, arXiv:1912.01300.

    Examples:
        >>> import torch
        >>> from reid_ext.losses import angular_regularisation
        >>> identity_weight = torch.tensor([[1.0, 0.0]])
        >>> view_weight = torch.tensor([[[2.0, 0.0], [0.0, 1.0]]])  # at 0 and 90 degrees
        >>> angular_regularisation(identity_weight, view_weight)
        tensor(0.5000)
    """
    function = "angular_regularisation"
    identity_weight = read_features(function, "identity_weight", identity_weight)
    present = _read_classes(function, view_weight, present)
    cosine = ops.cosine_matrix(identity_weight.unsqueeze(1), view_weight).squeeze(1)  # (C, V)
    return _mean(1 - cosine, present)


def euclidean_regularisation(view_weight: Tensor, present: Tensor | None = None) -> Tensor:
    """Return the mean Euclidean distance between the view centres of an identity.

    The paper's released code uses this distance in place of the angles. The function averages over
    the pairs of present views of each identity, and then over the identities, which the released
    code sums. An identity with a single view counts as 0. Equal centres have zero gradient.

    Args:
        view_weight: Centres U of the views, of shape (C, V, D).
        present: Bool of shape (C, V), False for classes that do not exist. Default: None (all
            classes exist).

    Returns:
        A non-negative scalar.

    Raises:
        ArgumentError: a shape or dtype is invalid.

    Source:
        Zhu et al. 2020, arXiv:1912.01300, released code.

    Examples:
        >>> import torch
        >>> from reid_ext.losses import euclidean_regularisation
        >>> euclidean_regularisation(torch.tensor([[[0.0, 0.0], [3.0, 4.0]]]))
        tensor(5.)
    """
    present = _read_classes("euclidean_regularisation", view_weight, present)
    distances, both = [], []
    views = range(view_weight.shape[1])
    for a, b in itertools.combinations(views, 2):
        square = (view_weight[:, a] - view_weight[:, b]).square().sum(1)
        apart = square != 0  # also for NaN, which must reach the loss
        distances.append(torch.where(apart, square, 1).sqrt() * apart)
        exist = torch.ones_like(apart) if present is None else present[:, a] & present[:, b]
        both.append(exist.to(square.dtype))
    if not distances or len(view_weight) == 0:
        return view_weight.sum() * 0
    weight = torch.stack(both, 1)  # (C, pairs)
    distance = (torch.stack(distances, 1) * weight).sum(1) / weight.sum(1).clamp(min=1)
    return distance.mean()


def _read_classes(function: str, view_weight: Tensor, present: Tensor | None) -> Tensor | None:
    """Check the weights of the (identity, view) classes and read ``present``."""
    shape = dense(function, "view_weight", view_weight).shape
    if len(shape) != 3:
        raise ArgumentError(function, "view_weight", "have shape (C, V, D)", str(tuple(shape)))
    if present is None:
        return None
    return boolean_mask(
        function, "present", present, (shape[0], shape[1]), "pair of identity and view"
    )


def present_views(
    labels: Tensor, views: Tensor, *, num_identities: int, num_views: int = 3
) -> Tensor:
    """Return which (identity, view) classes occur in a training set.

    Args:
        labels: Identities of all training images, of shape (M,), in [0, num_identities).
        views: Views of all training images, of shape (M,), in [0, num_views), or -1 if unknown.
        num_identities: Number of identities C.
        num_views: Number of views V. Default: 3.

    Returns:
        Bool of shape (C, V).

    Raises:
        ArgumentError: an identity or view is out of range, or a shape or dtype is invalid.

    Examples:
        >>> import torch
        >>> from reid_ext.losses import present_views
        >>> labels, views = torch.tensor([0, 0, 1]), torch.tensor([0, 2, -1])
        >>> present_views(labels, views, num_identities=2)
        tensor([[ True, False,  True],
                [False, False, False]])
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
        within(function, name, values, size)
    present = torch.zeros(num_identities, num_views, dtype=torch.bool, device=labels.device)
    present[labels, views] = True
    return present


def _mean(values: Tensor, present: Tensor | None) -> Tensor:
    if present is None:
        present = torch.ones_like(values, dtype=torch.bool)
    return torch.where(present, values, 0).sum() / present.sum().clamp(min=1)


class ViewpointAwareLoss(nn.Module):
    """Viewpoint-aware loss (VA-reID) over identities and views.

    The loss is ``L_y + gamma * L_v + beta * L_R``. L_y is the cross entropy over C identities with
    adaptive label smoothing. L_v is the cross entropy over the (identity, view) classes. L_R is the
    regularisation of the weights of the two classifiers, which this module holds. The paper gives
    its three terms without minus signs. This module minimises the cross entropies and increases
    the cosines.

    Args:
        num_identities: Number of identities C.
        feature_dim: Number of features D.
        num_views: Number of views V. Default: 3, as in the paper (front, side, back).
        alpha: Scale of the adaptive labels of both softmaxes, in [0, 0.5]. Default: 0.25, as in the
            released code. The paper gives no value.
        beta: Weight of the regularisation. Default: 1, chosen for this package, because neither
            the paper nor its code gives the paper's value. The regularisation is a mean over the
            classes, and each class occurs in about one of C V rows of the cross entropies. The
            balance of the terms therefore does not depend on C or V.
        present: Bool of shape (C, V), False for views in which an identity never occurs. They are
            not classes. Default: None (all classes exist). :func:`present_views` computes it from
            a training set.
        labels: Labels of the view classes, ``"adaptive"`` (the paper), ``"fixed"`` (the released
            code: 0.6 / 0.15 / 0.1) or ``"hard"``. Default: ``"adaptive"``. See
            :func:`reid_ext.ops.viewpoint_loss`.
        regularisation: ``"angular"`` (the paper) or ``"euclidean"`` (the released code).
            Default: ``"angular"``.
        gamma: Weight of the viewpoint cross entropy. Default: 1, as in the paper. In the released
            code it is called ``gama`` and decreases to 0.3 during training.

    Attributes:
        identity_weight: Parameter of shape (C, D), the classifier of identities, without a bias.
        view_weight: Parameter of shape (C, V, D), the classifier of views, without a bias.
        parts: After a call, a dictionary with the detached terms ``identity``, ``viewpoint`` and
            ``regularisation``, the last without the factor beta.

    Shape:
        - features: (N, D).
        - labels: (N,), any integer dtype, in [0, C).
        - views: (N,), any signed integer dtype, in [0, V), or -1 if unknown. A row with an unknown
          view contributes to L_y only.
        - Returns: a scalar.

    Source:
        Zhu et al. 2020, arXiv:1912.01300.

    Examples:
        >>> import torch
        >>> from reid_ext.losses import ViewpointAwareLoss
        >>> loss = ViewpointAwareLoss(num_identities=4, feature_dim=8)
        >>> total = loss(torch.ones(2, 8), torch.tensor([0, 3]), torch.tensor([2, -1]))
        >>> sorted(loss.parts)
        ['identity', 'regularisation', 'viewpoint']
        >>> bool(total >= loss.parts["identity"])
        True
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
        what = "num_identities * num_views must be less than 2**31"
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
        """Initialise both classifiers with small random weights."""
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
        """Return the cross entropy over identities, L_y."""
        logits = _logits(features, self.identity_weight)
        return ops.adaptive_label_smoothing_loss(logits, labels, alpha=self.alpha)

    @named()
    def viewpoint_loss(self, features: Tensor, labels: Tensor, views: Tensor) -> Tensor:
        """Return the cross entropy over (identity, view) classes, L_v, without gamma."""
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
        """Return the regularisation of the two classifiers, L_R, without beta."""
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
    """Return the logits of a classifier, in the wider dtype of its weight and the features."""
    x = read_features("ViewpointAwareLoss", "features", features, weight.shape[1])
    return F.linear(*promoted(x, weight))
