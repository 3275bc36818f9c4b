"""The training loop with schedule, checkpoints, validation, logs and a clean stop by signals."""

import math
import time
from collections.abc import Iterable, Iterator
from dataclasses import asdict
from pathlib import Path
from typing import NamedTuple, cast

import torch
from torch import nn

from reid_ext import distributed
from reid_ext._runtime.progress import Progress, rate_text
from reid_ext.data import Batch
from reid_ext.models import Embedding, TwoStream
from reid_ext.training.average import moving_average, take_over
from reid_ext.training.checkpoint import Stateful, TrainingState
from reid_ext.training.in_parts import InParts
from reid_ext.training.interrupt import interrupts_deferred, termination_as_interrupt
from reid_ext.training.log import ScalarLog
from reid_ext.training.loop_arguments import Execution, Records, Saving, Validation
from reid_ext.training.objective import Losses, Objective, Targets
from reid_ext.training.optimizer import Optimizers
from reid_ext.training.precision import Precision
from reid_ext.training.profile import Profile
from reid_ext.training.recipe import Recipe
from reid_ext.training.schedule import learning_rate_factor, ramp, set_learning_rates

REPORT_EVERY = 10  # iterations, because reading a loss waits for the device


class Outcome(NamedTuple):
    """The result of a call of :func:`train`.

    Attributes:
        iterations: Iterations of this call, 0 if the resumed run was finished.
        seconds: Duration of the whole training, including earlier calls.
        images_per_second: Training images per second in this call.
        losses: Unweighted loss values of the last report, with the names of the terms as keys.
        seconds_of_call: Duration of this call. Default: 0.

    Examples:
        >>> from reid_ext import training
        >>> outcome = training.Outcome(100, 50.0, 128.0, {"id": 0.5})
        >>> outcome.iterations / outcome.seconds
        2.0
    """

    iterations: int
    seconds: float
    images_per_second: float
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
    """Train a network in place up to iteration ``recipe.iterations``.

    Args:
        model: Network to train. It is moved to the device and left in training mode.
        loader: Batches from ``data.loader``, with labels in [0, num_identities). One pass over the
            loader is one epoch.
        objective: Losses to minimise, from :func:`build_objective` for this model.
        recipe: Optimiser, schedule and number of iterations.
        sampler: Sampler of the loader. Its position in the epoch is part of the checkpoint.
        execution: Device and precision. Default: the CPU in float32.
        saving: Checkpoint to write, and whether to continue from it. Default: None, no checkpoint.
        records: Logs to write. Default: no logs.
        validation: Score of the network during the training. Default: None, no validation.

    Returns:
        Number of iterations, duration, speed and last losses.

    Raises:
        FileNotFoundError: the run is resumed and the checkpoint does not exist.
        ValueError: the checkpoint is damaged, from another program or written with other settings,
            the loader yields no batch, or a loss is no longer finite.
        KeyboardInterrupt: Ctrl-C was pressed or SIGTERM arrived. The current iteration is finished
            and the checkpoint is saved first, and the message has the number of finished
            iterations.

    Examples:
        >>> import torch
        >>> from dataclasses import replace
        >>> from reid_ext import data, models, training
        >>> labels, zeros = torch.tensor([0, 0, 1, 1]), torch.zeros(4, dtype=torch.int64)
        >>> batch = data.Batch(torch.rand(4, 3, 32, 16), labels, zeros, zeros, zeros - 1, zeros)
        >>> samples = [data.Sample("", identity, camera=0) for identity in (0, 0, 1, 1)]
        >>> sampler = data.IdentityBatches(samples, identities=2, images=2)
        >>> model = models.TwoStream("small", num_identities=2)
        >>> recipe = replace(training.EMBEDDED_VISIBLE, iterations=2)
        >>> objective = training.build_objective("softmax", recipe, model)
        >>> outcome = training.train(model, [batch], objective, recipe, sampler=sampler)
        >>> outcome.iterations, list(outcome.losses)
        (2, ['id'])
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
            termination_as_interrupt(),
            ScalarLog(records.folder, records.wandb_project) as log,
            Profile(records.trace, device) as profile,
        ):
            outcome = run.to_the_end(loader, log, profile)
        take_over(model, average)
        return outcome
    except KeyboardInterrupt as stop:
        saved = f"; resume from {checkpoint}" if run.save() else ""
        done = f"train: stopped after iteration {state.iteration} of {recipe.iterations}{saved}"
        raise type(stop)(done) from None


def _network(model: TwoStream, recipe: Recipe, execution: Execution) -> nn.Module:
    """The model for the forward pass: in parts, for several processes, or compiled."""
    network: nn.Module = InParts(model, recipe.parts) if recipe.parts > 1 else model
    network = distributed.data_parallel(network)
    return cast(nn.Module, torch.compile(network)) if execution.compiled else network


class _Run:
    """One call of :func:`train`: its steps and the work between them."""

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
        self.counted = time.perf_counter()  # end of the time that state.seconds counts
        self.losses: dict[str, float] = {}
        self.images = 0

    def to_the_end(self, loader: Iterable[Batch], log: ScalarLog, profile: Profile) -> Outcome:
        start, note = time.perf_counter(), ""
        self.counted = start
        left = self.recipe.iterations - self.first
        total = self.recipe.iterations
        with Progress(total, "train", unit="iterations", first=self.first) as progress:
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
                    note = f"{note}, {rate_text(rate)} images/s"
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
            # TwoStream needs the modalities on the host
            embedding = self.network(images, batch.modalities)
        if distributed.world_size() > 1:  # the loss uses the batches of all processes
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
        with torch.random.fork_rng():  # validation must not change the bits of the run
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

        Only the first process writes it, because all processes are in the same state.
        """
        nothing_new = self.state.iteration == self.first
        if self.checkpoint is None or nothing_new or not distributed.is_main():
            return False
        self.count_time()
        self.state.save(self.checkpoint)
        return True

    def count_time(self) -> None:
        """Add the time since the last call to the duration of the training."""
        now = time.perf_counter()
        self.state.seconds += now - self.counted
        self.counted = now


def _endless(loader: Iterable[Batch], number: int) -> Iterator[Batch]:
    """Yield ``number`` batches, over as many epochs as necessary."""
    empty = 0
    while empty < 2:  # a run resumed at the end of an epoch starts with an empty epoch
        epoch = iter(loader)
        with torch.random.fork_rng(devices=[]):  # torch draws a seed for the workers here
            batch = next(epoch, None)
        empty += 1
        while batch is not None:
            yield batch
            empty, number = 0, number - 1
            if number == 0:
                return
            batch = next(epoch, None)
    raise ValueError(
        "train: loader must yield batches, got an empty epoch; check that the training samples "
        "have identities with images of both modalities"
    )
