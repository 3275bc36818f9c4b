"""What is minimised: the identity loss, and a metric loss whose weight grows in.

A new objective is one entry of ``OBJECTIVES``: a metric loss and the feature it works on.
"""

from collections.abc import Callable
from typing import NamedTuple

from torch import Tensor, nn
from torch.nn import functional as F

from reid_ext.losses import ExpATLoss, FIDILoss, TripletLoss
from reid_ext.models import Embedding, TwoStream
from reid_ext.training.recipe import Recipe
from reid_ext.training.schedule import metric_weight


class MetricLoss(NamedTuple):
    """A metric loss: how it is made, and how it is applied to an embedded batch."""

    build: Callable[[Recipe], nn.Module]
    apply: Callable[[nn.Module, Embedding, Tensor, Tensor], Tensor]  # labels, modalities


OBJECTIVES: dict[str, MetricLoss | None] = {
    "softmax": None,
    "triplet": MetricLoss(  # before the neck, over both modalities at once
        lambda recipe: TripletLoss(margin=recipe.triplet_margin, metric="euclidean"),
        lambda loss, embedding, labels, modalities: loss(embedding.pooled, labels),
    ),
    "fidi": MetricLoss(  # before the neck, over all pairs
        lambda recipe: FIDILoss(),
        lambda loss, embedding, labels, modalities: loss(embedding.pooled, labels),
    ),
    "expat": MetricLoss(  # after the neck, from each modality to the other
        lambda recipe: ExpATLoss(aggregation=recipe.aggregation),
        lambda loss, embedding, labels, modalities: loss(embedding.features, labels, modalities),
    ),
}


class Losses(NamedTuple):
    """The value to minimise, and its parts by name, unweighted and detached."""

    total: Tensor
    parts: dict[str, Tensor]


class Objective(nn.Module):
    """Identity loss plus a metric loss, over one batch of both modalities.

    Args:
        name: A key of ``OBJECTIVES``; ``"softmax"`` is the identity loss alone.
        recipe: Weights, ramp and settings of both losses.
    """

    def __init__(self, name: str, recipe: Recipe):
        super().__init__()
        if name not in OBJECTIVES:
            raise ValueError(
                f"build_objective: name must be one of {', '.join(map(repr, OBJECTIVES))}, got "
                f"{name!r}"
            )
        self.name = name
        self.recipe = recipe
        self.metric = OBJECTIVES[name]
        self.metric_loss = self.metric.build(recipe) if self.metric else None

    def forward(
        self,
        model: TwoStream,
        embedding: Embedding,
        labels: Tensor,
        modalities: Tensor,
        iteration: int,
    ) -> Losses:
        """Embedding of N rows, labels (N,) in [0, num_identities), modalities (N,) 0 or 1."""
        logits = model.classifier(embedding.features)
        identity = F.cross_entropy(logits, labels, label_smoothing=self.recipe.label_smoothing)
        total = self.recipe.id_weight * identity
        parts = {"id": identity.detach()}
        if self.metric and self.metric_loss is not None:
            value = self.metric.apply(self.metric_loss, embedding, labels, modalities)
            total = total + metric_weight(self.recipe, iteration) * value
            parts[self.name] = value.detach()
        return Losses(total, parts)


def build_objective(name: str, recipe: Recipe) -> Objective:
    """Return the objective ``name``, a key of ``OBJECTIVES``."""
    return Objective(name, recipe)
