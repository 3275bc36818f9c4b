"""The training loop: recipe, objective, checkpoints and progress; Ctrl-C stops it cleanly."""

import math
import time
from collections.abc import Iterable, Iterator
from dataclasses import asdict
from pathlib import Path
from typing import NamedTuple, cast

import torch
from torch import nn

from reid_ext import distributed
from reid_ext._runtime.progress import Progress
from reid_ext.data import Batch
from reid_ext.models import Embedding, TwoStream
from reid_ext.training.average import moving_average, take_over
from reid_ext.training.checkpoint import Stateful, TrainingState
from reid_ext.training.in_parts import InParts
from reid_ext.training.interrupt import interrupts_deferred
from reid_ext.training.log import ScalarLog
from reid_ext.training.loop_arguments import Execution, Records, Saving, Validation
from reid_ext.training.objective import Losses, Objective, Targets
from reid_ext.training.optimizer import Optimizers
from reid_ext.training.precision import Precision
from reid_ext.training.profile import Profile
from reid_ext.training.recipe import Recipe
from reid_ext.training.schedule import learning_rate_factor, ramp, set_learning_rates

REPORT_EVERY = 10  # iterations; reading a loss waits for the device


class Outcome(NamedTuple):
    """The result of a call of :func:`train`; the losses are those of the last report."""

    iterations: int  # of this call, so 0 for a finished run that is resumed
    seconds: float  # of the whole training, with the calls before this one
    images_per_second: float  # in this call
    losses: dict[str, float]
    seconds_of_call: float = 0.0


def train(
    model: TwoStream,
    loader: Iterable[Batch],
    objective: Objective,
    recipe: Recipe,
    *,
    sampler: Stateful,
    execution: Execution = Execution(),  # noqa: B008  (immutable)
    saving: Saving | None = None,
    records: Records = Records(),  # noqa: B008  (immutable)
    validation: Validation | None = None,
) -> Outcome:
    """Train ``model`` in place for ``recipe.iterations`` iterations in all.

    Args:
        model: Moved to the device, left in training mode.
        loader: From ``data.loader``; one iteration over it is one epoch. Its labels are in
            [0, num_identities).
        objective: From :func:`build_objective`, for this model.
        recipe: Optimiser, schedule and lengths.
        sampler: The sampler of the loader; its position in the epoch is part of the checkpoint.
        execution: Device and precision.
        saving: The checkpoint to write, and whether to continue from it; None: no checkpoint.
        records: What to log.
        validation: Scores the network during the training.

    Raises:
        FileNotFoundError: the run is to be resumed and the checkpoint does not exist.
        ValueError: the checkpoint is damaged, of another program or of other settings; or a loss
            is no longer finite.
        KeyboardInterrupt: after Ctrl-C and the end of the current iteration. The message has the
            number of finished iterations.
    """
    device = torch.device(execution.device)
    model.to(device).train()
    amp = Precision(execution.precision, device)
    objective.to(device)
    optimizer = Optimizers(model, objective, recipe)
    facts = {**asdict(recipe), "objective": objective.name, "precision": execution.precision}
    facts |= dict(saving.settings) if saving else {}
    average = moving_average(model, recipe.average)
    state = TrainingState(model, objective, optimizer, amp.scaler, sampler, facts, average)
    if saving and saving.resume:
        state.restore(saving.checkpoint)
    if state.iteration >= recipe.iterations:
        take_over(model, average)
        return Outcome(0, state.seconds, 0.0, {})
    checkpoint = saving.checkpoint if saving else None
    run = _Run(state, _network(model, recipe, execution), recipe, amp, checkpoint, validation)
    try:
        with (
            ScalarLog(records.folder, records.wandb_project) as log,
            Profile(records.trace, device) as profile,
        ):
            outcome = run.to_the_end(loader, log, profile)
        take_over(model, average)
        return outcome
    except KeyboardInterrupt:
        saved = f"; {checkpoint} continues from there" if run.save() else ""
        done = f"train: stopped after iteration {state.iteration} of {recipe.iterations}{saved}"
        raise KeyboardInterrupt(done) from None


def _network(model: TwoStream, recipe: Recipe, execution: Execution) -> nn.Module:
    """The model as the forward pass uses it: in parts, in several processes, compiled."""
    network: nn.Module = InParts(model, recipe.parts) if recipe.parts > 1 else model
    network = distributed.data_parallel(network)
    return cast(nn.Module, torch.compile(network)) if execution.compiled else network


class _Run:
    """One call of :func:`train`: the step, and the work between steps."""

    def __init__(
        self,
        state: TrainingState,
        network: nn.Module,
        recipe: Recipe,
        amp: Precision,
        checkpoint: str | Path | None,
        validation: Validation | None,
    ):
        self.state = state
        self.network = network
        self.recipe = recipe
        self.amp = amp
        self.checkpoint = checkpoint
        self.validation = validation
        self.first = state.iteration
        self.counted = time.perf_counter()  # up to when state.seconds goes
        self.losses: dict[str, float] = {}
        self.images = 0

    def to_the_end(self, loader: Iterable[Batch], log: ScalarLog, profile: Profile) -> Outcome:
        start, note = time.perf_counter(), ""
        self.counted = start
        left = self.recipe.iterations - self.first
        with Progress(left, "train", unit="iterations") as progress:
            for batch in _endless(loader, left):
                with interrupts_deferred():
                    losses = self.step(batch)
                profile.step()
                done = self.state.iteration
                last = done == self.recipe.iterations
                if last or done % REPORT_EVERY == 0:
                    self.report(losses, log)
                    rate = self.images / (time.perf_counter() - start)
                    note = " ".join(f"{name} {value:.3f}" for name, value in self.losses.items())
                    note = f"{note}, {rate:.0f} images/s"
                progress.update(1, note)
                if self.validation and (last or done % self.validation.every == 0):
                    self.validate(self.validation, log)
                if last or done % self.recipe.save_every == 0:
                    self.save()
        self.count_time()
        seconds = time.perf_counter() - start
        rate = self.images / seconds
        return Outcome(left, self.state.seconds, rate, self.losses, seconds)

    def step(self, batch: Batch) -> Losses:
        """One iteration, from a batch to updated parameters."""
        state, device = self.state, self.amp.device
        factor = learning_rate_factor(self.recipe, state.iteration)
        set_learning_rates(state.optimizer.main, factor)
        images = batch.images.to(device, non_blocking=True, memory_format=torch.channels_last)
        known = (batch.labels, batch.modalities, batch.views)
        targets = Targets(*(t.to(device, non_blocking=True) for t in known))
        with self.amp.autocast():
            embedding = self.network(images, batch.modalities)  # on the host: see TwoStream
        if distributed.world_size() > 1:  # the loss is that of the batches of all processes
            embedding = Embedding(*map(distributed.gather_rows, embedding))
            targets = Targets(*map(distributed.gather_rows, targets))
        self.images += len(embedding.features)
        losses = state.objective(embedding, targets, state.iteration)
        state.optimizer.zero_grad()
        state.scaler.scale(losses.total).backward()
        state.optimizer.step(state.scaler)
        if state.average is not None:
            state.average.update_parameters(state.model)
        state.advance()
        return losses

    def report(self, losses: Losses, log: ScalarLog) -> None:
        """Read the losses of the last step and log them."""
        done = self.state.iteration
        self.losses = {name: value.item() for name, value in losses.parts.items()}
        if not all(map(math.isfinite, self.losses.values())):
            raise ValueError(
                f"train: losses must be finite, got {self.losses} at iteration {done}; lower the "
                "learning rate, lengthen warmup or metric_ramp, or use precision 'float32'"
            )
        scalars = {f"loss/{name}": value for name, value in self.losses.items()}
        scalars["learning_rate"] = self.state.optimizer.main.param_groups[0]["lr"]
        scalars["metric_ramp"] = ramp(self.recipe, done - 1)
        log.write(scalars, done)

    def validate(self, validation: Validation, log: ScalarLog) -> None:
        """Score the network, with averaged parameters if there are any, and keep the best one."""
        state = self.state
        with torch.random.fork_rng():  # a run has the same bits with and without validation
            score = validation.score(state.average.module if state.average else state.model)
        log.write({"validation": score}, state.iteration)
        print(f"iteration {state.iteration}: {validation.name} {score:.4f}", flush=True)
        if state.best is None or score > state.best:
            state.best = score
            if validation.keep and distributed.is_main():
                self.count_time()
                state.save(validation.keep)

    def save(self) -> bool:
        """Write the checkpoint if there is a path and a new iteration; return whether it did.

        Of several processes only the first writes it, because all are in the same state.
        """
        nothing_new = self.state.iteration == self.first
        if self.checkpoint is None or nothing_new or not distributed.is_main():
            return False
        self.count_time()
        self.state.save(self.checkpoint)
        return True

    def count_time(self) -> None:
        """Bring the time that the training took up to date."""
        now = time.perf_counter()
        self.state.seconds += now - self.counted
        self.counted = now


def _endless(loader: Iterable[Batch], number: int) -> Iterator[Batch]:
    """Yield ``number`` batches, over as many epochs as necessary."""
    empty = 0
    while empty < 2:  # a run saved at the end of an epoch continues with an empty one
        epoch = iter(loader)
        with torch.random.fork_rng(devices=[]):  # here torch draws a seed for the workers
            batch = next(epoch, None)
        empty += 1
        while batch is not None:
            yield batch
            empty, number = 0, number - 1
            if number == 0:
                return
            batch = next(epoch, None)
    raise ValueError(
        "train: loader must yield batches, got none in a whole epoch; check that the training "
        "samples have identities with images of both modalities"
    )
