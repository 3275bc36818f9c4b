"""Center loss: every identity has a learned centre that its features are drawn to."""

import torch
from torch import Tensor, nn

from reid_ext._runtime.arguments import ArgumentError, integer, labels_of_rows, number
from reid_ext._runtime.arguments import features as read_features
from reid_ext.losses._inputs import MOST, promoted


class CenterLoss(nn.Module):
    """Draw each feature to the centre of its identity.

    ``mean over the rows of |x_i - c_y(i)|^2``, the normalisation of expAT + center's code; Wen et
    al. sum over the batch and halve. Centres are parameters that learn along with the features.

    Args:
        num_identities: C, the number of centres.
        feature_dim: D.

    Shape:
        features (N, D), labels (N,) in [0, C); returns a scalar, float32 for half inputs, 0 with
        zero gradient for N = 0. A label out of range is an error on the CPU; on CUDA it ends in
        torch's device assertion, as in an embedding.

    Source:
        Wen et al. 2016, "A Discriminative Feature Learning Approach for Deep Face Recognition",
        eq. 2. In expAT + center the loss has weight 0.0005, and the centres an SGD of their own
        with learning rate 0.5 and the gradient of the unweighted loss: see
        :meth:`rescale_gradient`.
    """

    def __init__(self, num_identities: int, feature_dim: int):
        super().__init__()
        identities = integer("CenterLoss", "num_identities", num_identities, 1, MOST)
        dim = integer("CenterLoss", "feature_dim", feature_dim, 1, MOST)
        self.centers = nn.Parameter(torch.randn(identities, dim))

    def extra_repr(self) -> str:
        identities, dim = self.centers.shape
        return f"num_identities={identities}, feature_dim={dim}"

    def forward(self, features: Tensor, labels: Tensor) -> Tensor:
        c, d = self.centers.shape
        features = read_features("CenterLoss", "features", features, d)
        labels = labels_of_rows("CenterLoss", "labels", labels, "features", features)
        if labels.device.type == "cpu" and labels.numel() and not torch.compiler.is_compiling():
            low, high = int(labels.min()), int(labels.max())
            if low < 0 or high >= c:
                raise ArgumentError("CenterLoss", "labels", f"be in [0, {c})", f"{low} to {high}")
        features, centers = promoted(features, self.centers[labels])
        return (features - centers).square().sum() / max(len(features), 1)

    @torch.no_grad()
    def rescale_gradient(self, weight: float) -> None:
        """Undo the loss's weight in the centres' gradient.

        Call it after ``backward()`` of a total with ``weight * center_loss``, before the step of
        the centres' own optimiser: ``weight`` then weighs the features' gradient alone.
        """
        weight = number("CenterLoss.rescale_gradient", "weight", weight, above=0)
        if self.centers.grad is not None:
            self.centers.grad /= weight
