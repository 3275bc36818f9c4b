"""Center loss: every identity has a learned centre that its features are drawn to."""

import torch
from torch import Tensor, nn

from reid_ext.losses._batch import labels_of, promoted, rows
from reid_ext.losses._numbers import check_size


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
        for name, value in (("num_identities", num_identities), ("feature_dim", feature_dim)):
            check_size("CenterLoss", name, value)
        self.centers = nn.Parameter(torch.randn(num_identities, feature_dim))

    def forward(self, features: Tensor, labels: Tensor) -> Tensor:
        c, d = self.centers.shape
        features = rows("CenterLoss", "features", features, d)
        labels = labels_of("CenterLoss", "labels", labels, features, "features")
        if labels.device.type == "cpu" and labels.numel() and not torch.compiler.is_compiling():
            low, high = int(labels.min()), int(labels.max())
            if low < 0 or high >= c:
                raise ValueError(f"CenterLoss: labels must be in [0, {c}), got {low} to {high}")
        features, centers = promoted(features, self.centers[labels])
        return (features - centers).square().sum() / max(len(features), 1)

    @torch.no_grad()
    def rescale_gradient(self, weight: float) -> None:
        """Undo the loss's weight in the centres' gradient.

        Call it after ``backward()`` of a total with ``weight * center_loss``, before the step of
        the centres' own optimiser: ``weight`` then weighs the features' gradient alone.
        """
        if not weight > 0:
            raise ValueError(f"CenterLoss: weight must be above 0, got {weight}")
        if self.centers.grad is not None:
            self.centers.grad /= weight
