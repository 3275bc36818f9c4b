"""Adam with a separate group for biases, and SGD for the centres of a center loss."""

from typing import Any

import torch
from torch import nn

from reid_ext.training.objective import Objective
from reid_ext.training.recipe import Recipe


class Optimizers:
    """The optimisers of a run with one common state.

    Args:
        model: Network to train.
        objective: Losses of the run, some of which have parameters.
        recipe: Learning rates and weight decay.

    Attributes:
        main: Adam over the parameters of the network and the losses.
        center: SGD over the centres of a center loss, or None if there are no centres. As in the
            released code of expAT, its learning rate is constant and it uses the gradient of the
            unweighted center loss.

    Examples:
        >>> from reid_ext import models, training
        >>> model = models.TwoStream("small", num_identities=2)
        >>> objective = training.build_objective("expat_center", training.EMBEDDED, model)
        >>> optimizers = training.Optimizers(model, objective, training.EMBEDDED)
        >>> type(optimizers.main).__name__, type(optimizers.center).__name__
        ('Adam', 'SGD')
    """

    def __init__(self, model: nn.Module, objective: Objective, recipe: Recipe):
        self.main = build_optimizer(model, objective, recipe)
        self.center_losses = objective.center_losses
        self.center_share = 1 / len(objective.losses)  # weight of each head in the total
        self.center_weight = recipe.center_weight
        self.center: torch.optim.SGD | None = None
        if self.center_losses:
            centers = [p for loss in self.center_losses for p in loss.parameters()]
            self.center = torch.optim.SGD(centers, lr=recipe.center_learning_rate)

    def step(self, scaler: torch.amp.GradScaler) -> None:
        """Apply the gradients of a backward pass, which ``scaler`` may have scaled."""
        scaler.step(self.main)
        if self.center is not None:
            for loss in self.center_losses:
                loss.rescale_gradient(self.center_weight * self.center_share)
            scaler.step(self.center)
        scaler.update()

    def zero_grad(self) -> None:
        for optimizer in (self.main, self.center):
            if optimizer is not None:
                optimizer.zero_grad(set_to_none=True)

    def state_dict(self) -> dict[str, Any]:
        center = None if self.center is None else self.center.state_dict()
        return {"main": self.main.state_dict(), "center": center}

    def load_state_dict(self, state_dict: dict[str, Any]) -> None:
        self.main.load_state_dict(state_dict["main"])
        if self.center is not None:
            self.center.load_state_dict(state_dict["center"])


def build_optimizer(model: nn.Module, objective: Objective, recipe: Recipe) -> torch.optim.Adam:
    """Build Adam over the trainable parameters of a network and its losses.

    Biases have a group with a learning rate and weight decay of their own. A bias is a parameter
    with "bias" in its name, including those of batch norms, as in the released code of expAT. The
    centres of a center loss are left out.

    Args:
        model: Network to train.
        objective: Losses of the run, some of which have parameters.
        recipe: Learning rates and weight decay.

    Returns:
        A fused optimiser, which makes one pass over the parameters per step on CPU and CUDA.

    Examples:
        >>> from reid_ext import models, training
        >>> model = models.TwoStream("small", num_identities=2)
        >>> objective = training.build_objective("softmax", training.SYSU, model)
        >>> optimizer = training.build_optimizer(model, objective, training.SYSU)
        >>> [group["lr"] for group in optimizer.param_groups]
        [0.0003, 0.0006]
    """
    named = dict(model.named_parameters())
    elsewhere = {id(p) for p in named.values()}
    elsewhere |= {id(p) for loss in objective.center_losses for p in loss.parameters()}
    of_losses = objective.named_parameters(prefix="objective")
    named |= {name: p for name, p in of_losses if id(p) not in elsewhere}
    trainable = [(name, p) for name, p in named.items() if p.requires_grad]
    others = [p for name, p in trainable if "bias" not in name]
    biases = [p for name, p in trainable if "bias" in name]
    bias_rate = recipe.learning_rate * recipe.bias_learning_rate_factor
    groups = [
        _group(others, recipe.learning_rate, recipe.weight_decay),
        _group(biases, bias_rate, recipe.bias_weight_decay),
    ]
    return torch.optim.Adam([g for g in groups if g["params"]], fused=True)


def _group(parameters: list[nn.Parameter], rate: float, weight_decay: float) -> dict:
    return {
        "params": parameters,
        "lr": rate,
        "initial_lr": rate,  # the schedule multiplies it
        "weight_decay": weight_decay,
    }
