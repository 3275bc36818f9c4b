"""Local branches: horizontal stripes of the last map, each with its own neck and classifier.

People are upright in the images, so a stripe roughly covers one part of the body. Each part learns
to distinguish identities on its own. Source: the local variant of VA-reID (Zhu et al. 2020,
arXiv:1912.01300). Its paper does not specify the branches; stripes of the last map follow PCB and
MGN.
"""

from torch import Tensor, nn
from torch.nn import functional as F

from reid_ext._runtime.arguments import ArgumentError, integer
from reid_ext.models.backbone import Backbone
from reid_ext.models.neck import build_neck


class Stripe(nn.Module):
    """A local branch: the neck and the classifier of one pooled stripe.

    Args:
        dim: Number of channels D of the last map.
        num_identities: Number of classes of ``classifier``.
        neck: As in :class:`TwoStream`.
        classifier_std: As in :class:`TwoStream`.

    Shape:
        - pooled: (N, D).
        - modalities: (N,), 0 for visible and 1 for infrared.
        - Returns: (N, D), the features after the neck.

    Examples:
        >>> import torch
        >>> from reid_ext.models import TwoStream
        >>> stripe = TwoStream("small", num_identities=4, stripes=3).stripes[0]
        >>> stripe.classifier
        Linear(in_features=192, out_features=4, bias=False)
    """

    def __init__(self, dim: int, num_identities: int, neck: str, classifier_std: float):
        super().__init__()
        self.neck = build_neck(neck, dim)
        self.classifier = nn.Linear(dim, num_identities, bias=neck == "none")
        if neck != "none":
            nn.init.normal_(self.classifier.weight, std=classifier_std)

    def forward(self, pooled: Tensor, modalities: Tensor) -> Tensor:
        return self.neck(pooled, modalities)


def build_stripes(
    backbone: Backbone, number: int, num_identities: int, neck: str, classifier_std: float
) -> nn.ModuleList:
    """Build ``number`` stripes for the last map of ``backbone``.

    Raises:
        ArgumentError: the number is negative, or the backbone has no last map.
    """
    if integer("TwoStream", "stripes", number, 0) == 0:
        return nn.ModuleList()
    if backbone.map_dim is None:
        requirement, advice = "be 0 for a backbone without a last map", "use 'small' or a ResNet"
        raise ArgumentError("TwoStream", "stripes", requirement, str(number), advice)
    dim = backbone.map_dim
    return nn.ModuleList(Stripe(dim, num_identities, neck, classifier_std) for _ in range(number))


def pool_stripes(features: Tensor, number: int) -> list[Tensor]:
    """Return the mean of each stripe of a map (N, C, H, W), top to bottom: ``number`` x (N, C)."""
    return list(F.adaptive_avg_pool2d(features, (number, 1)).squeeze(3).unbind(2))
