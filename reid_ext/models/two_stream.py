"""The two-stream network, which embeds visible and infrared images in one space."""

import copy
from typing import NamedTuple

import torch
from torch import Tensor, nn

from reid_ext._runtime.arguments import ArgumentError, choice, instance, integer
from reid_ext.models.backbone import Backbone, build_backbone, check_images
from reid_ext.models.neck import MODALITIES, build_neck
from reid_ext.models.stripes import Stripe, build_stripes, pool_stripes

STEMS = ("shared", "per_modality")


class Embedding(NamedTuple):
    """The output of :class:`TwoStream` for N images.

    Attributes:
        pooled: Features before the neck, of shape (N, D), float32 or wider. The Euclidean triplet
            loss uses them.
        features: Features after the neck, in the common space, of shape (N, D), float32 or wider.
            The classifier, the expAT loss and the search use them.

    Examples:
        >>> import torch
        >>> from reid_ext.models import TwoStream
        >>> model = TwoStream("small", num_identities=4).eval()
        >>> embedding = model(torch.zeros(2, 3, 96, 48), torch.tensor([0, 1]))
        >>> embedding.pooled.shape, embedding.features.shape
        (torch.Size([2, 576]), torch.Size([2, 576]))
    """

    pooled: Tensor
    features: Tensor


class TwoStream(nn.Module):
    """Embed visible (modality 0) and infrared (modality 1) images in one space.

    Args:
        backbone: A :class:`Backbone`, or a name that :func:`build_backbone` accepts.
        num_identities: Number of training identities, which are the classes of ``classifier``.
        neck: ``"shared"`` uses one batch norm for both modalities, and ``"per_modality"`` one for
            each. ``"none"`` uses no norm; the classifier then has a bias and torch's default
            initialisation, as in the released baseline. Default: ``"shared"``.
        stem: ``"shared"`` uses the same layers before the trunk for both modalities.
            ``"per_modality"`` uses a copy for each, with equal initial weights. The batch is then
            split by modality; pass ``modalities`` on the CPU, otherwise the host waits for the
            device. Default: ``"shared"``.
        stripes: Number of local branches. Each is a stripe of the last map with its own neck and
            classifier. Their features are appended to the global ones. Default: 0.
        classifier_std: Standard deviation of the initial weights of the classifiers.
            Default: 0.001.

    Shape:
        - images: (N, 3, H, W).
        - modalities: (N,), integers 0 or 1 in any order, on any device.
        - Returns: an :class:`Embedding` with D = ``feature_dim``. ``split`` divides it among the
          ``heads``, and ``head.classifier`` maps the features of a head to (N, num_identities).

    Source:
        Ye et al. 2020, arXiv:2006.00878 and its released code.

    Examples:
        >>> import torch
        >>> from reid_ext.models import TwoStream
        >>> model = TwoStream("small", num_identities=4).eval()
        >>> visible_and_infrared = torch.tensor([0, 1])
        >>> embedding = model(torch.zeros(2, 3, 96, 48), visible_and_infrared)
        >>> model.classifier(embedding.features).shape
        torch.Size([2, 4])
    """

    def __init__(
        self,
        backbone: Backbone | str,
        num_identities: int,
        *,
        neck: str = "shared",
        stem: str = "shared",
        stripes: int = 0,
        classifier_std: float = 0.001,
    ):
        super().__init__()
        integer("TwoStream", "num_identities", num_identities, 1)
        if isinstance(backbone, str):
            backbone = build_backbone(backbone)
        backbone = instance("TwoStream", "backbone", backbone, Backbone)
        self.fixed_size = backbone.fixed_size
        self.stems = _stems(backbone, stem)
        self.trunk = backbone.trunk
        self.pool = backbone.pool
        self.neck = build_neck(neck, backbone.feature_dim)
        self.classifier = nn.Linear(backbone.feature_dim, num_identities, bias=neck == "none")
        if neck != "none":
            nn.init.normal_(self.classifier.weight, std=classifier_std)
        self.stripes = build_stripes(backbone, stripes, num_identities, neck, classifier_std)
        self.feature_dim = sum(self.widths)
        self.to(memory_format=torch.channels_last)  # type: ignore[call-overload]  # faster

    @property
    def heads(self) -> "list[TwoStream | Stripe]":
        """The parts with their own neck and classifier: the network itself and its stripes."""
        return [self, *self.stripes]

    @property
    def widths(self) -> list[int]:
        """Number of features of each head."""
        return [head.classifier.in_features for head in self.heads]

    def split(self, embedding: Embedding) -> list[Embedding]:
        """Split an embedding of all heads into one embedding per head."""
        pooled, features = (part.split(self.widths, dim=1) for part in embedding)
        return [Embedding(*parts) for parts in zip(pooled, features, strict=True)]

    def forward(self, images: Tensor, modalities: Tensor) -> Embedding:
        if modalities.shape != images.shape[:1]:
            requirement = f"have shape ({len(images)},), one for each image"
            got = str(tuple(modalities.shape))
            raise ArgumentError("TwoStream", "modalities", requirement, got)
        return self.embed(self.pooled(images, modalities), modalities)

    def pooled(self, images: Tensor, modalities: Tensor) -> Tensor:
        """Return the pooled features (N, D) of all heads."""
        check_images("TwoStream", images, self.fixed_size)
        last_map = self.trunk(self._stem(images, modalities))
        pooled = self.pool(last_map)
        if self.stripes:
            pooled = torch.cat([pooled, *pool_stripes(last_map, len(self.stripes))], dim=1)
        return pooled

    def embed(self, pooled: Tensor, modalities: Tensor) -> Embedding:
        """Apply the necks to pooled features (N, D), in float32 or wider."""
        with torch.autocast(pooled.device.type, enabled=False):
            pooled = pooled if pooled.dtype == torch.float64 else pooled.float()
            if not self.stripes:
                return Embedding(pooled, self.neck(pooled, modalities))
            parts = zip(self.heads, pooled.split(self.widths, dim=1), strict=True)
            features = [head.neck(part, modalities) for head, part in parts]
            return Embedding(pooled, torch.cat(features, dim=1))

    def _stem(self, images: Tensor, modalities: Tensor) -> Tensor:
        if len(self.stems) == 1:
            return self.stems[0](images)
        host = modalities.cpu()
        rows = [torch.nonzero(host == m).flatten() for m in range(MODALITIES)]
        parts = [
            stem(images.index_select(0, r.to(images.device, non_blocking=True)))
            for stem, r in zip(self.stems, rows, strict=True)
            if len(r)  # a norm in training mode raises for an empty batch
        ]
        back = torch.cat(rows).argsort().to(images.device, non_blocking=True)
        return torch.cat(parts).index_select(0, back)


def _stems(backbone: Backbone, stem: str) -> nn.ModuleList:
    if choice("TwoStream", "stem", stem, STEMS) == "shared":
        return nn.ModuleList([backbone.stem])
    if isinstance(backbone.stem, nn.Identity):
        requirement = "be 'shared' for a backbone without a separate stem"
        advice = "use 'small' or a ResNet"
        raise ArgumentError("TwoStream", "stem", requirement, "'per_modality'", advice)
    return nn.ModuleList([backbone.stem, copy.deepcopy(backbone.stem)])
