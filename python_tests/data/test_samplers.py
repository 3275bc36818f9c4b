"""The batch samplers: content of a batch, frequencies, seeds and resuming."""

from collections import Counter
from itertools import pairwise
from pathlib import Path

import pytest

from reid_ext import data

K = 4


def made_up(counts):
    """Samples of identities 10, 20, ... with the given (visible, infrared) counts, shuffled."""
    samples = [
        data.Sample(Path(f"{identity}-{modality}-{n}.jpg"), identity, 1, None, modality)
        for position, pair in enumerate(counts, start=1)
        for modality, count in enumerate(pair)
        for n in range(count)
        for identity in [10 * position]
    ]
    return samples[::2] + samples[1::2]


EVEN = made_up([(8, 8)] * 7)
UNEVEN = made_up([(8, 3), (1, 9), (5, 5), (4, 12), (6, 2)])


def indices(batch):
    return [index for index, _ in batch]


def identities_of(samples, batch):
    """The identity of each run of K images."""
    found = [samples[index].identity for index in indices(batch)]
    runs = [found[start : start + K] for start in range(0, len(found), K)]
    assert all(len(set(run)) == 1 for run in runs)
    return [run[0] for run in runs]


def test_identity_batch_has_p_identities_of_k_images():
    sampler = data.IdentityBatches(EVEN, 3, K)
    assert len(sampler) == -(-len(EVEN) // (3 * K))
    batches = list(sampler)
    assert len(batches) == len(sampler)
    for batch in batches:
        drawn = identities_of(EVEN, batch)
        assert len(set(drawn)) == len(drawn) == 3
        assert len(set(indices(batch))) == 3 * K


def test_two_modality_batch_has_visible_before_infrared():
    sampler = data.TwoModalityBatches(EVEN, 3, K)
    assert len(sampler) == -(-7 * 8 // (3 * K))
    for batch in sampler:
        assert [EVEN[i].modality for i in indices(batch)] == [0] * 3 * K + [1] * 3 * K
        drawn = identities_of(EVEN, batch)
        assert len(set(drawn)) == 3
        assert drawn[:3] == drawn[3:]
        assert len(set(indices(batch))) == len(batch)


def test_default_epoch_covers_the_larger_modality():
    assert len(data.TwoModalityBatches(made_up([(2, 30), (2, 31)]), 2, K)) == 8
    assert len(data.TwoModalityBatches(made_up([(33, 2), (31, 2)]), 2, K)) == 8


def test_epoch_length_can_be_set():
    sampler = data.IdentityBatches(EVEN, 3, K, batches=50)
    assert len(sampler) == len(list(sampler)) == 50


@pytest.mark.parametrize("batches", [1, 2, 7, 40])
def test_identities_and_images_are_drawn_equally_often(batches):
    sampler = data.TwoModalityBatches(EVEN, 3, K, batches=batches)
    people, images = Counter(), Counter(dict.fromkeys(range(len(EVEN)), 0))
    for batch in sampler:
        people.update(identities_of(EVEN, batch)[:3])
        images.update(indices(batch))
    assert max(people.values()) - min(people[10 * n] for n in range(1, 8)) <= 1
    for identity in people:
        for modality in (0, 1):
            own = [images[i] for i, s in enumerate(EVEN) if s[1] == identity and s[4] == modality]
            assert max(own) - min(own) <= 1


def test_images_repeat_only_after_each_was_drawn_once():
    for batch in data.TwoModalityBatches(UNEVEN, 5, K, batches=30):
        times = Counter(indices(batch))
        for start in range(0, len(batch), K):
            first = UNEVEN[batch[start][0]]
            group = [
                i
                for i, s in enumerate(UNEVEN)
                if (s.identity, s.modality) == (first.identity, first.modality)
            ]
            drawn = [times[i] for i in group if times[i]]
            assert sum(drawn) == K
            assert len(drawn) == min(K, len(group))


def test_batch_can_contain_all_identities():
    for batch in data.IdentityBatches(UNEVEN, 5, K, batches=10):
        assert sorted(identities_of(UNEVEN, batch)) == [10, 20, 30, 40, 50]


@pytest.mark.parametrize("kind", [data.IdentityBatches, data.TwoModalityBatches])
def test_same_seed_gives_the_same_epochs(kind):
    first, second = kind(UNEVEN, 2, K, seed=3), kind(UNEVEN, 2, K, seed=3)
    assert list(first) + list(first) == list(second) + list(second)
    other = kind(UNEVEN, 2, K, seed=4)
    assert list(other) != list(kind(UNEVEN, 2, K, seed=3))


def test_set_epoch_goes_to_any_epoch():
    sampler = data.IdentityBatches(EVEN, 3, K)
    epochs = [list(sampler) for _ in range(3)]
    assert all(a != b for a, b in pairwise(epochs))
    entered = data.IdentityBatches(EVEN, 3, K)
    entered.set_epoch(2)
    assert list(entered) == epochs[2]
    entered.set_epoch(0)
    assert list(entered) == epochs[0]


def test_item_seeds_depend_on_position_only():
    """Other images and batch sizes give the same seeds."""
    small, large = data.IdentityBatches(EVEN, 2, 2), data.TwoModalityBatches(UNEVEN, 4, K)
    first, second = next(iter(small)), next(iter(large))
    assert [seed for _, seed in first] == [seed for _, seed in second[: len(first)]]


def test_item_seeds_are_unique():
    sampler = data.TwoModalityBatches(EVEN, 7, K, batches=20)
    seeds = [seed for _ in range(3) for batch in sampler for _, seed in batch]
    assert len(set(seeds)) == len(seeds) == 3 * 20 * 7 * 2 * K


@pytest.mark.parametrize("done", [0, 1, 13, 19, 20])
def test_two_modality_batches_resume_mid_epoch(done):
    sampler = data.TwoModalityBatches(UNEVEN, 2, K, batches=20, seed=7)
    sampler.set_epoch(5)
    iterator = iter(sampler)
    for _ in range(done):
        next(iterator)
    state = sampler.state_dict()
    expected = list(iterator) + list(sampler)

    resumed = data.TwoModalityBatches(UNEVEN, 2, K, batches=20, seed=7)
    resumed.load_state_dict(state)
    resumed.set_epoch(5)  # the current epoch: the position does not change
    assert list(resumed) + list(resumed) == expected


def test_sampler_continues_interrupted_epoch():
    sampler, whole = (data.IdentityBatches(EVEN, 3, K) for _ in range(2))
    started = []
    for batch in sampler:
        started.append(batch)
        if len(started) == 2:
            break
    assert started + list(sampler) == list(whole)


@pytest.mark.parametrize(
    "change",
    [{"seed": 1}, {"identities": 3}, {"images": 3}, {"batches": 9}, {"samples": EVEN[:-1]}],
    ids=lambda change: next(iter(change)),
)
def test_load_state_dict_raises_for_other_settings(change):
    settings = {"samples": EVEN, "identities": 2, "images": K, "batches": 10, "seed": 0}
    state = data.IdentityBatches(**settings).state_dict()
    name = next(iter(change))
    with pytest.raises(ValueError, match=f"IdentityBatches: {name} must be .* as in the saved"):
        data.IdentityBatches(**{**settings, **change}).load_state_dict(state)


def test_sampler_raises_without_infrared_images():
    with pytest.raises(
        ValueError, match="must have infrared images, got 2 identities without: 20, 30"
    ):
        data.TwoModalityBatches(made_up([(4, 4), (4, 0), (4, 0)]), 1, K)


def test_sampler_raises_without_visible_images():
    with pytest.raises(ValueError, match="must have visible images, got 1 identity without: 20"):
        data.TwoModalityBatches(made_up([(4, 4), (0, 4)]), 1, K)


def test_sampler_raises_for_too_many_identities():
    with pytest.raises(ValueError, match=r"identities must be .* and at most 7 \(.*\), got 8"):
        data.IdentityBatches(EVEN, 8, K)
    with pytest.raises(ValueError, match=r"identities must be .* and at most 0 \(.*\), got 1"):
        data.TwoModalityBatches([], 1, K)


@pytest.mark.parametrize(
    "argument, value",
    [("identities", 0), ("images", 0), ("images", 2.5), ("batches", 0), ("seed", -1)],
)
def test_sampler_raises_for_numbers_out_of_range(argument, value):
    settings = {"identities": 2, "images": 2, "batches": 2, "seed": 0, argument: value}
    with pytest.raises(ValueError, match=f"IdentityBatches: {argument} must be an integer >="):
        data.IdentityBatches(EVEN, **settings)


@pytest.mark.parametrize("length, size, batches", [(0, 4, 0), (1, 4, 1), (8, 4, 2), (9, 4, 3)])
def test_sequential_batches_cover_all_indices_in_order(length, size, batches):
    sampler = data.SequentialBatches(length, size)
    for _ in range(2):
        found = list(sampler)
        assert len(found) == len(sampler) == batches
        assert [key for batch in found for key in batch] == [(i, 0) for i in range(length)]
        assert all(len(batch) == size for batch in found[:-1])


def test_sequential_batches_raise_for_size_zero():
    with pytest.raises(ValueError, match="batch_size must be an integer >= 1, got 0"):
        data.SequentialBatches(5, 0)


BOTH = pytest.mark.parametrize("kind", [data.IdentityBatches, data.TwoModalityBatches])


@BOTH
@pytest.mark.parametrize("identities, images", [(1, 1), (2, 3), (5, 4), (5, 16)])
def test_sampler_length_is_the_number_of_batches(kind, identities, images):
    sampler = kind(UNEVEN, identities, images)
    size = identities * images * (2 if kind is data.TwoModalityBatches else 1)
    for _ in range(2):
        assert [len(batch) for batch in sampler] == [size] * len(sampler)


@BOTH
def test_sampler_repeats_single_images(kind):
    samples = made_up([(1, 1)] * 3)
    for batch in kind(samples, 3, K, batches=5):
        drawn = identities_of(samples, batch)
        assert sorted(drawn[:3]) == [10, 20, 30]
        assert set(indices(batch)) == set(range(len(samples)))


@pytest.mark.parametrize("done", [0, 1, 6, 7])
def test_two_modality_batches_resume_at_any_batch(done):
    whole = data.TwoModalityBatches(UNEVEN, 2, K, batches=7, seed=5)
    expected = list(whole) + list(whole)
    begun = data.TwoModalityBatches(UNEVEN, 2, K, batches=7, seed=5)
    batches = iter(begun)
    assert [next(batches) for _ in range(done)] == expected[:done]
    resumed = data.TwoModalityBatches(UNEVEN, 2, K, batches=7, seed=5)
    resumed.load_state_dict(begun.state_dict())
    rest = list(resumed)
    while len(rest) < len(expected) - done:
        rest += list(resumed)
    assert rest == expected[done:]


@pytest.mark.parametrize("kind", [data.IdentityBatches, data.TwoModalityBatches])
def test_samplers_raise_for_outliers(kind):
    outlier = EVEN[0]._replace(identity=-1), EVEN[1]._replace(identity=-1)
    with pytest.raises(
        ValueError, match=rf"{kind.__name__}: samples must have identities >= 0, .* -1"
    ):
        kind([*EVEN, *outlier], 2, 2)
    with pytest.raises(ValueError, match="relabel: samples must have identities >= 0"):
        data.relabel(outlier)
