"""Synthetic features of a chosen difficulty, for the evaluation benchmarks.

Each identity is a point in 64 dimensions. Each camera shifts it, and noise is added. A random
linear map takes it to D dimensions, where weaker noise is added. A sixth of the gallery images
are distractors. The gallery is sorted by identity, as in datasets.
"""

from typing import Any, NamedTuple

import torch
from torch import Tensor
from torch.nn import functional as F

LATENT, CAMERAS, DISTRACTORS = 64, 6, 1 / 6
NOISE = {0.8: 0.75, 0.5: 1.0, 0.2: 1.35}  # approximate mAP: noise
MARKET, MSMT17 = (3368, 15913, 750), (11659, 82161, 3060)  # queries, gallery, identities


class Gallery(NamedTuple):
    query: Tensor
    gallery: Tensor
    labels: dict[str, Tensor]

    def to(self, device: str) -> "Gallery":
        labels = {name: label.to(device) for name, label in self.labels.items()}
        return Gallery(self.query.to(device), self.gallery.to(device), labels)

    def evaluated(self, evaluate: Any, **options: Any) -> Any:
        return evaluate(self.query, self.gallery, **self.labels, **options)


def make(size: tuple[int, int, int], dim: int, noise: float, seed: int = 0) -> Gallery:
    """Normalised float32 features, identities (0 for distractors) and cameras."""
    queries, images, identities = size
    random = torch.Generator().manual_seed(seed)
    person = torch.randn(identities + 1, LATENT, generator=random)
    camera = torch.randn(CAMERAS, LATENT, generator=random) / 2
    to_features = torch.randn(LATENT, dim, generator=random) / LATENT**0.5

    def features(identity: Tensor, seen_by: Tensor) -> Tensor:
        blur = noise * torch.randn(len(identity), LATENT, generator=random)
        x = (person[identity] + camera[seen_by] + blur) @ to_features
        return F.normalize(x + 0.3 * noise * torch.randn(x.shape, generator=random))

    def labels(n: int) -> tuple[Tensor, Tensor]:
        identity = torch.randint(1, identities + 1, (n,), generator=random)
        return identity, torch.randint(CAMERAS, (n,), generator=random)

    query_ids, query_cameras = labels(queries)
    gallery_ids, gallery_cameras = labels(images)
    gallery_ids = gallery_ids.sort().values
    query = features(query_ids, query_cameras)
    gallery = features(gallery_ids, gallery_cameras)
    nobody = torch.rand(images, generator=random) < DISTRACTORS
    strangers = torch.randn(int(nobody.sum()), LATENT, generator=random) @ to_features
    gallery[nobody] = F.normalize(strangers)
    gallery_ids[nobody] = 0
    return Gallery(
        query,
        gallery,
        {
            "query_ids": query_ids,
            "gallery_ids": gallery_ids,
            "query_cameras": query_cameras,
            "gallery_cameras": gallery_cameras,
        },
    )
