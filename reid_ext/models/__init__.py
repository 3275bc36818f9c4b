"""Networks made of a backbone, a batch norm for both modalities and a bias-free classifier."""

from reid_ext.models.activation import activation_maps
from reid_ext.models.backbone import Backbone, build_backbone
from reid_ext.models.neck import PerModalityNorm
from reid_ext.models.stripes import Stripe
from reid_ext.models.two_stream import Embedding, TwoStream

__all__ = [
    "Backbone",
    "Embedding",
    "PerModalityNorm",
    "Stripe",
    "TwoStream",
    "activation_maps",
    "build_backbone",
]


def __dir__() -> list[str]:
    return __all__
