"""A synthetic dataset in memory, and a small network that is trained on it."""

from dataclasses import replace

import torch
from torch.nn import functional as F

from reid_ext import data, models, training
from reid_ext.training.extraction import embed

IDENTITIES = 8
TINY = replace(
    training.EMBEDDED,
    identities_per_batch=4,
    images_per_modality=2,
    iterations=60,
    warmup=5,
    metric_ramp=(5, 20),
)


class Squares:
    """Images in memory. The identity sets the places of two squares; their colours are random."""

    size = (48, 24)

    def __init__(self, identities=IDENTITIES, images=4):
        self.samples = [
            data.Sample("", identity, 3 if modality else 1, None, modality)
            for identity in range(identities)
            for modality in (0, 1)
            for _ in range(images)
        ]
        places = torch.Generator().manual_seed(1)
        self.corners = torch.randint(18, (identities, 2, 2), generator=places)

    def __len__(self):
        return len(self.samples)

    def __getitem__(self, key):
        index, seed = key
        _, identity, camera, _, modality, _ = self.samples[index]
        chance = torch.Generator().manual_seed((seed + index) % 2**62)
        image = torch.randn(3, *self.size, generator=chance)
        for top, left in self.corners[identity].tolist():
            colour = torch.rand(1 if modality else 3, 1, 1, generator=chance) + 1
            sign = 2 * torch.randint(2, (), generator=chance) - 1
            image[:, 2 * top : 2 * top + 12, left : left + 6] += sign * colour
        return image, identity, camera, modality, index % 3, index


def batches(images, seed=0):
    sampler = data.TwoModalityBatches(images.samples, 4, 2, seed=seed)
    return data.loader(images, sampler), sampler


def run(objective="expat", recipe=TINY, **keywords):
    """Train the small network on the squares and return it with the outcome."""
    recipe = training.method(objective).network(recipe)
    model = models.TwoStream("small", IDENTITIES, neck=recipe.neck, stripes=recipe.stripes)
    loader, sampler = batches(Squares())
    goal = training.build_objective(objective, recipe, model)
    return model, training.train(model, loader, goal, recipe, sampler=sampler, **keywords)


def rank1(model, images):
    """Fraction of the infrared images whose nearest visible image has the same identity."""
    features = F.normalize(embed(model, images))
    identities = torch.tensor([s.identity for s in images.samples])
    infrared = torch.tensor([s.modality for s in images.samples]) == 1
    nearest = (features[infrared] @ features[~infrared].T).argmax(1)
    return (identities[~infrared][nearest] == identities[infrared]).double().mean().item()
