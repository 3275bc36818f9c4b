"""The image transforms of a recipe."""

from reid_ext.data import EvaluationTransform, TrainingTransform
from reid_ext.training.recipe import Recipe


def transforms(recipe: Recipe) -> tuple[TrainingTransform, EvaluationTransform]:
    """Return the transform for training and the one for feature extraction."""
    train = TrainingTransform(
        size=recipe.size,
        flip=recipe.flip,
        pad=recipe.pad,
        erase=recipe.erase,
        mix=recipe.mix,
        gain=recipe.gain,
        offset=recipe.offset,
    )
    return train, EvaluationTransform(size=recipe.size)
