"""Center loss: moves features towards a learned centre of their identity."""

import torch
from torch import Tensor, nn

from reid_ext._runtime.arguments import features as read_features
from reid_ext._runtime.arguments import integer, labels_of_rows, number, within
from reid_ext.losses._inputs import MOST, promoted


class CenterLoss(nn.Module):
    """Center loss: the squared distance of each feature to the centre of its identity.

    The loss is the mean of ``|x_i - c_y(i)|^2`` over the rows, as in the code of expAT + center.
    Wen et al. use half of the sum over the batch. The centres are parameters that are learned
    together with the features.

    Args:
        num_identities: Number of identities C, each of which has a centre.
        feature_dim: Number of features D.

    Shape:
        - features: (N, D).
        - labels: (N,), any integer dtype, in [0, C). A label out of range raises an error on the
          CPU. On CUDA it triggers a device assertion.
        - Returns: a scalar, float32 for half inputs. For N = 0 the loss and its gradient are zero.

    Source:
        Wen et al. 2016, "A Discriminative Feature Learning Approach for Deep Face Recognition",
        eq. 2. In expAT + center the loss has the weight 0.0005. The centres have their own SGD
        optimiser with a learning rate of 0.5 and the gradient of the unweighted loss. See
        :meth:`rescale_gradient`.

    Examples:
        >>> import torch
        >>> from reid_ext.losses import CenterLoss
        >>> loss = CenterLoss(num_identities=2, feature_dim=2)
        >>> _ = torch.nn.init.zeros_(loss.centers)
        >>> loss(torch.tensor([[3.0, 4.0], [0.0, 1.0]]), torch.tensor([0, 1]))  # (25 + 1) / 2
        tensor(13., grad_fn=<DivBackward0>)
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
        labels = within("CenterLoss", "labels", labels, c)
        features, centers = promoted(features, self.centers[labels])
        return (features - centers).square().sum() / max(len(features), 1)

    @torch.no_grad()
    def rescale_gradient(self, weight: float) -> None:
        """Divide the gradient of the centres by the weight of the loss.

        Call this method after ``backward()`` of a total that contains ``weight * center_loss`` and
        before the step of the centres' optimiser. The weight then applies to the gradient of the
        features only.

        Args:
            weight: The weight of the center loss in the total, greater than 0.
        """
        weight = number("CenterLoss.rescale_gradient", "weight", weight, above=0)
        if self.centers.grad is not None:
            self.centers.grad /= weight
