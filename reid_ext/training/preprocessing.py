"""The image transforms of a recipe."""

from reid_ext.data import EvaluationTransform, TrainingTransform
from reid_ext.training.recipe import Recipe


def transforms(recipe: Recipe) -> tuple[TrainingTransform, EvaluationTransform]:
    """Return the image transforms of a recipe.

    Args:
        recipe: Image size and augmentation.

    Returns:
        The transform for training and the one for feature extraction.

    Examples:
        >>> from reid_ext import training
        >>> train, evaluate = training.transforms(training.SYSU)
        >>> evaluate.size, train.erase
        ((384, 128), 0.5)
    """
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
