"""Our losses and miner as pytorch-metric-learning objects, and theirs as losses of our loop.

    criterion = metric_learning.Loss(FIDILoss())          # in place of losses.TripletMarginLoss()
    miner = metric_learning.HardestMiner("euclidean")     # in place of miners.BatchHardMiner()
    criterion = metric_learning.Foreign(losses.NTXentLoss(), HardestMiner())   # loss(x, labels)

Needs pytorch-metric-learning 2 (``pip install pytorch-metric-learning``).
"""

import torch
from torch import Tensor, nn

from reid_ext import ops
from reid_ext._runtime.arguments import ArgumentError, choice
from reid_ext.losses import ExpATLoss

try:
    from pytorch_metric_learning import distances
    from pytorch_metric_learning.losses import BaseMetricLossFunction
    from pytorch_metric_learning.miners import BaseMiner
except ImportError as error:
    raise ImportError(
        "reid_ext.compat.metric_learning needs pytorch-metric-learning, which does not import "
        f"({error}); pip install pytorch-metric-learning"
    ) from error

_DISTANCES = {
    "cosine": distances.CosineSimilarity,
    "euclidean": lambda: distances.LpDistance(normalize_embeddings=False),
    "squared_euclidean": lambda: distances.LpDistance(normalize_embeddings=False, power=2),
}


class Loss(BaseMetricLossFunction):
    """A pairwise loss of ``reid_ext.losses`` as one of pytorch-metric-learning.

    Args:
        loss: Its module, such as ``FIDILoss()``; called with features, labels, keys and key_labels.
        embedding_regularizer: As in pytorch-metric-learning, with embedding_reg_weight.

    Shape:
        As all their losses: ``loss(embeddings, labels, indices_tuple=None, ref_emb=None,
        ref_labels=None)``. ``ref_emb`` are the keys. Triplets of a miner are taken by ExpATLoss
        alone, whose formula is one of triplets; the others choose or weigh their pairs themselves.

    Raises:
        ArgumentError: an ``indices_tuple`` is given to a loss that does not take one, or labels are
            missing.
    """

    def __init__(self, loss: nn.Module, **regularizer):
        super().__init__(**regularizer)
        self.loss = loss

    def compute_loss(self, embeddings, labels, indices_tuple, ref_emb, ref_labels):
        if indices_tuple is not None:
            value = self._of_triplets(embeddings, indices_tuple, ref_emb)
        elif labels is None:
            requirement = "be given where there is no indices_tuple"
            raise ArgumentError(self._name, "labels", requirement, "None")
        elif ref_emb is embeddings:
            value = self.loss(embeddings, labels)
        else:
            value = self.loss(embeddings, labels, keys=ref_emb, key_labels=ref_labels)
        return {"loss": {"losses": value, "indices": None, "reduction_type": "already_reduced"}}

    @property
    def _name(self) -> str:
        return f"metric_learning.Loss({type(self.loss).__name__})"

    def _of_triplets(self, embeddings: Tensor, indices: tuple, ref_emb: Tensor) -> Tensor:
        if not isinstance(self.loss, ExpATLoss):
            advice = "leave the miner out: this loss chooses its own pairs"
            raise ArgumentError(self._name, "indices_tuple", "be None", "a tuple", advice)
        if len(indices) != 3:
            requirement = "be triplets (anchors, positives, negatives)"
            got, advice = f"{len(indices)} tensors", "use a miner of triplets"
            raise ArgumentError(self._name, "indices_tuple", requirement, got, advice)
        anchor, positive, negative = indices
        return ops.expat_triplet_loss(
            embeddings[anchor],
            ref_emb[positive],
            ref_emb[negative],
            margin=self.loss.margin,
            aggregation=self.loss.aggregation,
        )


class HardestMiner(BaseMiner):
    """Batch-hard mining without an N x M matrix: triplets for any triplet loss of theirs.

    Args:
        metric: ``"cosine"``, ``"euclidean"`` or ``"squared_euclidean"``.

    Shape:
        ``miner(embeddings, labels, ref_emb=None, ref_labels=None)`` returns int64 indices of
        anchors, positives and negatives, one triplet per anchor that has both.
    """

    def __init__(self, metric: str = "cosine"):
        metric = choice("metric_learning.HardestMiner", "metric", metric, _DISTANCES)
        super().__init__(distance=_DISTANCES[metric]())
        self.metric = metric

    def mine(self, embeddings, labels, ref_emb, ref_labels):
        keys = (None, None) if ref_emb is embeddings else (ref_emb, ref_labels)
        pairs = ops.mine_hardest(
            embeddings, labels, keys=keys[0], key_labels=keys[1], metric=self.metric
        )
        anchors = torch.nonzero((pairs.positive >= 0) & (pairs.negative >= 0)).flatten()
        return anchors, pairs.positive[anchors], pairs.negative[anchors]


class Foreign(nn.Module):
    """A loss of pytorch-metric-learning, with a miner or without, as ``loss(features, labels)``.

    Args:
        loss: Any of their losses of embeddings and labels.
        miner: One of their miners or :class:`HardestMiner`; None: the loss's own pairs.

    Shape:
        features (N, D), labels (N,), keys (M, D) and key_labels (M,) as in ``reid_ext.losses``.
    """

    def __init__(self, loss: nn.Module, miner: nn.Module | None = None):
        super().__init__()
        self.loss = loss
        self.miner = miner

    def forward(
        self,
        features: Tensor,
        labels: Tensor,
        *,
        keys: Tensor | None = None,
        key_labels: Tensor | None = None,
    ) -> Tensor:
        mined = self.miner(features, labels, keys, key_labels) if self.miner is not None else None
        return self.loss(features, labels, mined, ref_emb=keys, ref_labels=key_labels)
