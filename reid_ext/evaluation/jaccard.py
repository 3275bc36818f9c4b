"""jaccard_distance: distances for clustering that compare the neighbours of two images."""

from typing import Any, NamedTuple

from torch import Tensor

from reid_ext import ops
from reid_ext._runtime.arguments import Gallery, choice, finite, integer, number
from reid_ext.evaluation._engine.inputs import read_rows
from reid_ext.features import FeatureSet

CONVENTIONS = ("clustering", "reranking")


class SparseDistances(NamedTuple):
    """Sparse distances between N images in CSR form.

    The distances from image i to the images ``indices[offsets[i]:offsets[i + 1]]``, in ascending
    order, are ``distances[offsets[i]:offsets[i + 1]]``. Every pair that is not stored has the
    largest possible distance.

    Attributes:
        offsets: Shape (N + 1,), int64.
        indices: Shape (L,), int64, for L stored pairs.
        distances: Shape (L,).

    Examples:
        >>> import torch
        >>> from reid_ext.evaluation import SparseDistances
        >>> stored = SparseDistances(
        ...     torch.tensor([0, 1, 2]), torch.tensor([1, 0]), torch.tensor([0.5, 0.5])
        ... )
        >>> stored.to_scipy().toarray().tolist()
        [[0.0, 0.5], [0.5, 0.0]]
    """

    offsets: Tensor
    indices: Tensor
    distances: Tensor

    def to_scipy(self) -> Any:
        """Return the distances as a ``scipy.sparse.csr_matrix`` of shape (N, N).

        Pass it to scikit-learn with ``metric="precomputed"``.

        Raises:
            ImportError: If SciPy cannot be imported.
        """
        try:
            from scipy.sparse import csr_matrix
        except ImportError as error:
            raise ImportError(
                f"SparseDistances.to_scipy requires SciPy, which cannot be imported ({error}); "
                "run pip install scipy"
            ) from error
        n = len(self.offsets) - 1
        values, indices, offsets = (
            t.cpu().numpy() for t in (self.distances, self.indices, self.offsets)
        )
        return csr_matrix((values, indices, offsets), shape=(n, n))


def jaccard_distance(
    features: Gallery | FeatureSet,
    k1: int = 30,
    k2: int = 6,
    *,
    convention: str = "clustering",
    max_distance: float = 1.0,
) -> SparseDistances:
    """Return sparse Jaccard distances between all images, for DBSCAN or HDBSCAN.

    Each image is described by weights on its k-reciprocal nearest neighbours, averaged over its
    ``k2`` nearest images. The distance between two images compares these weights. Most pairs share
    no neighbour and have distance 1. Such pairs are not stored, so no N x N matrix is made.

    Args:
        features: A :class:`FeatureSet`, or features of shape (N, D), float32, float64, bfloat16 or
            float16, as a tensor on any device, an array or nested lists. Features are compared by
            squared Euclidean distance. Normalise them first if the clustering method asks for it.
        k1: Number of neighbours per image. Default: 30.
        k2: Number of nearest images over which weights are averaged, including the image itself.
            With 1, weights are not averaged. Default: 6.
        convention: ``"clustering"`` (default) gives the values of OpenUnReID, SpCL and
            ClusterContrast: ``k1`` counts the image itself, and weights are ``exp(-distance)``.
            ``"reranking"`` gives the Jaccard part of :func:`rerank`: ``k1`` does not count the
            image itself, and weights are ``exp(-distance**2)``, where the distance is divided by
            the largest distance in its row.
        max_distance: Largest distance to store, in (0, 1]. Pairs that are farther apart are left
            out. Pass the largest clustering radius that you will try. Default: 1.

    Returns:
        :class:`SparseDistances`, symmetric, with values in [0, max_distance], float32 for half
        inputs. Working memory beyond the features and the result is O(N).

    Raises:
        ArgumentError: If an argument is invalid or features are not finite.

    Source:
        Zhong et al. 2017, CVPR, sec. 3; for clustering Ge et al. 2020, "Self-paced Contrastive
        Learning", NeurIPS, and its released code.

    Examples:
        >>> import torch
        >>> from reid_ext.evaluation import jaccard_distance
        >>> features = torch.tensor([[1.0, 0.0], [1.0, 0.0], [0.0, 1.0], [0.0, 1.0]])
        >>> stored = jaccard_distance(features, k1=2, k2=1)
        >>> stored.to_scipy().shape
        (4, 4)
        >>> bool((stored.distances < 0.5).all())  # only pairs of equal images are stored
        True
    """
    function = "jaccard_distance"
    clustering = choice(function, "convention", convention, CONVENTIONS) == "clustering"
    x = finite(function, "features", read_rows(function, "features", features))
    most = len(x) if clustering else len(x) - 1
    k1 = integer(function, "k1", k1, 1, most, f"of {len(x)} images")
    k2 = integer(function, "k2", k2, 1)
    number(function, "max_distance", max_distance, 0, 1)
    rows = ops.jaccard(x, k1=k1, k2=k2, clustering=clustering, max_distance=max_distance)
    return SparseDistances(*rows)
