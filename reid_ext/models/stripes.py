"""Local branches: a horizontal stripe of the last map, with a norm and a classifier of its own.

People stand upright, so a stripe is about a part of the body; each part must tell people apart by
itself. Source: the local variant of VA-reID (Zhu et al. 2020, arXiv:1912.01300), whose paper leaves
the branches open; stripes of the last map are those of PCB and MGN.
"""

from torch import Tensor, nn
from torch.nn import functional as F

from reid_ext._runtime.arguments import ArgumentError, integer
from reid_ext.models.backbone import Backbone
from reid_ext.models.neck import build_neck


class Stripe(nn.Module):
    """One branch: pooled stripe (N, D) -> neck (N, D); ``classifier`` is its own.

    Args:
        dim: Channels of the map, D.
        num_identities: Classes of ``classifier``.
        neck: As in :class:`TwoStream`.
        classifier_std: Likewise.
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
    """Return ``number`` stripes over the last map of ``backbone``.

    Raises:
        ArgumentError: a negative number, or a backbone without a map.
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
