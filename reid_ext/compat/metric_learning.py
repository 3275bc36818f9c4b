"""Adapters between reid_ext and pytorch-metric-learning, in both directions.

    criterion = metric_learning.Loss(FIDILoss())          # instead of losses.TripletMarginLoss()
    miner = metric_learning.HardestMiner("euclidean")     # instead of miners.BatchHardMiner()
    criterion = metric_learning.Foreign(losses.NTXentLoss(), HardestMiner())   # loss(x, labels)

Requires pytorch-metric-learning 2 (``pip install pytorch-metric-learning``).
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
        "reid_ext.compat.metric_learning needs pytorch-metric-learning, which cannot be imported "
        f"({error}); run pip install pytorch-metric-learning"
    ) from error

_DISTANCES = {
    "cosine": distances.CosineSimilarity,
    "euclidean": lambda: distances.LpDistance(normalize_embeddings=False),
    "squared_euclidean": lambda: distances.LpDistance(normalize_embeddings=False, power=2),
}


class Loss(BaseMetricLossFunction):
    """A pairwise loss of ``reid_ext.losses`` as a loss of pytorch-metric-learning.

    Args:
        loss: Module such as ``FIDILoss()``. It is called with features, labels, keys and
            key_labels.
        embedding_regularizer: As in pytorch-metric-learning, with ``embedding_reg_weight``.

    Shape:
        As for all losses of that library: ``loss(embeddings, labels, indices_tuple=None,
        ref_emb=None, ref_labels=None)``. ``ref_emb`` are the keys. Only ExpATLoss, which is defined
        on triplets, accepts the triplets of a miner. The other losses choose or weight their own
        pairs.

    Raises:
        ArgumentError: If ``indices_tuple`` is given to a loss that does not accept it, or labels
            are missing.

    Examples:
        >>> import torch
        >>> from reid_ext.compat import metric_learning
        >>> from reid_ext.losses import TripletLoss
        >>> criterion = metric_learning.Loss(TripletLoss(margin=0.3))
        >>> embeddings = torch.tensor([[1.0, 0.0], [1.0, 0.0], [0.0, 1.0], [0.0, 1.0]])
        >>> float(criterion(embeddings, torch.tensor([1, 1, 2, 2])))  # no violation
        0.0
    """

    def __init__(self, loss: nn.Module, **regularizer):
        super().__init__(**regularizer)
        self.loss = loss

    def compute_loss(self, embeddings, labels, indices_tuple, ref_emb, ref_labels):
        if indices_tuple is not None:
            value = self._of_triplets(embeddings, indices_tuple, ref_emb)
        elif labels is None:
            requirement = "be given when indices_tuple is None"
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
            advice = "remove the miner, as this loss chooses its own pairs"
            raise ArgumentError(self._name, "indices_tuple", "be None", "a tuple", advice)
        if len(indices) != 3:
            requirement = "be triplets (anchors, positives, negatives)"
            got, advice = f"{len(indices)} tensors", "use a miner that returns triplets"
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
    """Batch-hard mining without an N x M matrix, for any triplet loss of pytorch-metric-learning.

    Args:
        metric: ``"cosine"`` (default), ``"euclidean"`` or ``"squared_euclidean"``.

    Shape:
        ``miner(embeddings, labels, ref_emb=None, ref_labels=None)`` returns int64 indices of
        anchors, positives and negatives, one triplet for each anchor that has a positive and a
        negative.

    Examples:
        >>> import torch
        >>> from reid_ext.compat import metric_learning
        >>> embeddings = torch.tensor([[0.0], [1.0], [3.0]])
        >>> miner = metric_learning.HardestMiner("euclidean")
        >>> anchors, positives, negatives = miner(embeddings, torch.tensor([1, 1, 2]))
        >>> anchors.tolist(), positives.tolist(), negatives.tolist()
        ([0, 1], [1, 0], [2, 2])
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
    """A loss of pytorch-metric-learning, with or without a miner, as ``loss(features, labels)``.

    Args:
        loss: Any loss of that library for embeddings and labels.
        miner: A miner of that library or :class:`HardestMiner`. Default: None, which uses all pairs
            of the loss.

    Shape:
        features (N, D), labels (N,), keys (M, D) and key_labels (M,) as in ``reid_ext.losses``.

    Examples:
        >>> import torch
        >>> from pytorch_metric_learning.losses import TripletMarginLoss
        >>> from reid_ext.compat import metric_learning
        >>> criterion = metric_learning.Foreign(TripletMarginLoss(), metric_learning.HardestMiner())
        >>> features = torch.tensor([[1.0, 0.0], [1.0, 0.0], [0.0, 1.0], [0.0, 1.0]])
        >>> float(criterion(features, torch.tensor([1, 1, 2, 2])))
        0.0
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
