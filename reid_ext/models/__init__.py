"""Networks: a backbone, the common-space batch norm and a bias-free classifier, put together."""

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
