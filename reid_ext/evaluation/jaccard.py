"""jaccard_distance: how little the neighbours of two images overlap, to cluster images by."""

from typing import Any, NamedTuple

from torch import Tensor

from reid_ext import ops
from reid_ext._runtime.arguments import Gallery, choice, finite, integer, number
from reid_ext.evaluation._engine.inputs import read_rows
from reid_ext.features import FeatureSet

CONVENTIONS = ("clustering", "reranking")


class SparseDistances(NamedTuple):
    """Distances between N images (CSR); a pair that is not there is as far apart as can be.

    Those of image i to the images ``indices[offsets[i]:offsets[i + 1]]``, ascending, are the
    ``distances`` there. ``offsets`` (N + 1,) and ``indices`` (L,) are int64.
    """

    offsets: Tensor
    indices: Tensor
    distances: Tensor

    def to_scipy(self) -> Any:
        """A ``scipy.sparse.csr_matrix`` (N, N), as ``metric="precomputed"`` of scikit-learn takes.

        Raises:
            ImportError: SciPy is not installed.
        """
        try:
            from scipy.sparse import csr_matrix
        except ImportError as error:
            raise ImportError(
                "SparseDistances.to_scipy needs SciPy, which does not import "
                f"({error}); pip install scipy"
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
    """Return the Jaccard distances between all images, for DBSCAN or HDBSCAN, without a matrix.

    Each image is described by weights on its k-reciprocal nearest neighbours, averaged over its
    ``k2`` nearest; two images are as far apart as these differ. Most pairs share no neighbour and
    have distance 1: they are left out.

    Args:
        features: A :class:`FeatureSet`, or shape (N, D), float32, float64, bfloat16 or float16: a
            tensor on any device, an array or nested lists. Compared by squared Euclidean distance;
            normalise them first if the clustering method asks for it.
        k1: Neighbours of an image that count.
        k2: Nearest images over which weights are averaged, itself included; 1: none are.
        convention: ``"clustering"``: the numbers of OpenUnReID, SpCL and ClusterContrast, where
            ``k1`` counts the image itself and weights are ``exp(-distance)``. ``"reranking"``: the
            Jaccard part of :func:`rerank`, where ``k1`` counts the others and weights are
            ``exp(-distance**2)``, the distance being over the largest of its row.
        max_distance: Leave out pairs farther apart, in (0, 1]: the largest radius to be tried
            needs no more.

    Returns:
        :class:`SparseDistances`, each in [0, max_distance], float32 for half inputs, symmetric.
        Memory besides is O(N).

    Raises:
        ArgumentError: an invalid argument; features that are not finite.

    Source:
        Zhong et al. 2017, CVPR, sec. 3; for clustering Ge et al. 2020, "Self-paced Contrastive
        Learning", NeurIPS, and its released code.
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
