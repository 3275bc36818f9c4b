"""FeatureSet: columns, rows, files, and its use instead of features and labels."""

import copy
import pickle

import numpy as np
import pytest
import torch

import reid_ext
from reid_ext import ArgumentError, FeatureSet, evaluate
from reid_ext.evaluation import verify


def feature_set(rows=6, dim=4, seed=0, **columns):
    x = torch.randn(rows, dim, generator=torch.Generator().manual_seed(seed))
    columns = {"identities": np.arange(rows) % 3, "cameras": [1] * rows} | columns
    return FeatureSet(x, **columns)


def pair():
    query = feature_set(source={"model": "m"})
    return query, feature_set(9, seed=1, cameras=[2] * 9, paths=[f"{i}.jpg" for i in range(9)])


def test_columns_are_converted_to_one_form():
    made = feature_set(
        views=np.array([0, 1, 2, 0, 1, -1], np.int8), times=np.arange(6) / 2, names=list("abcdef")
    )
    assert made.columns["views"].dtype == torch.int64
    assert made.columns["times"].dtype == torch.float64
    assert made.columns["names"].tolist() == list("abcdef")
    assert len(made) == 6 and made.cameras.tolist() == [1] * 6
    with pytest.raises(TypeError):
        made.columns["views"] = 3


@pytest.mark.parametrize(
    "columns, message",
    [
        ({"cameras": [1, 2]}, r"cameras must have shape \(6,\), one for each row of features, got"),
        ({"identities": [0.5] * 6}, "identities must be integers, .* got 0.5 in row 0"),
        ({"views": ["a"] * 6}, "views must be integers"),
        ({"times": [object()] * 6}, "times must hold integers, floats or text, got object"),
        ({"features": [1] * 6}, "multiple values"),
    ],
)
def test_feature_set_raises_for_invalid_columns(columns, message):
    with pytest.raises((ArgumentError, TypeError), match=message):
        feature_set(**columns)


def test_indexing_selects_features_and_columns():
    made = feature_set(names=list("abcdef"), source={"model": "m"})
    for rows in (slice(1, 4), [1, 2, 3], torch.tensor([1, 2, 3]), np.isin(range(6), [1, 2, 3])):
        some = made[rows]
        assert some.columns["names"].tolist() == list("bcd")
        assert torch.equal(some.tensor(), made.tensor()[1:4])
        assert some.source == {"model": "m"}
    assert made.where(identities=[0, 2], names="c").columns["names"].tolist() == ["c"]
    for rows in ([6], [0.5], "a", [[1]]):
        with pytest.raises(ArgumentError, match="rows must be a slice"):
            made[rows]
    with pytest.raises(
        ArgumentError, match=r"camera must be a column of the set \(identities, cameras"
    ):
        made.where(camera=3)


def test_concat_joins_sets_of_one_model():
    one, two = feature_set(source={"model": "m", "dataset": "a"}), feature_set(3, seed=1)
    with pytest.raises(ArgumentError, match="other must hold features of the model 'm', got"):
        one.concat(two)
    apart = {name: two.columns[name] + 100 for name in ("identities", "cameras")}
    source = {"model": "m", "dataset": "b"}
    two = FeatureSet(two.tensor(), **{**two.columns, **apart}, source=source)
    both = one.concat(two)
    assert len(both) == 9 and both.source == {"model": "m"}
    assert torch.equal(both.identities, torch.cat([one.identities, two.identities]))
    with pytest.raises(
        ArgumentError, match="other must have exactly the columns cameras, identities"
    ):
        one.concat(FeatureSet(two.tensor(), identities=two.identities))
    with pytest.raises(ArgumentError, match="must have feature dimension 4"):
        one.concat(feature_set(3, 5, source={"model": "m"}))


def test_files_keep_every_column_and_the_source(tmp_path):
    made = feature_set(
        times=[0.5] * 6, names=list("abcdef"), source={"model": "m", "size": [256, 128]}
    )
    made.save(tmp_path / "x.npz")
    read = FeatureSet.load(tmp_path / "x.npz")
    assert torch.equal(read.tensor(), made.tensor()) and read.source == made.source
    assert set(read.columns) == set(made.columns)
    for name, values in made.columns.items():
        assert np.array_equal(np.asarray(read.columns[name]), np.asarray(values))
    with pytest.raises(ArgumentError, match=r"FeatureSet.save: path must end in \.npz"):
        made.save(tmp_path / "x.npy")


def test_load_warns_of_arrays_that_are_not_columns(tmp_path):
    np.savez(tmp_path / "x.npz", features=np.eye(3), identities=[1, 2, 3], logits=np.eye(3))
    with pytest.warns(UserWarning, match=r"logits float64 \(3, 3\); they are ignored"):
        read = FeatureSet.load(tmp_path / "x.npz")
    assert set(read.columns) == {"identities"}


def test_every_function_accepts_feature_sets():
    query, gallery = pair()
    labels = {
        "query_ids": query.identities,
        "gallery_ids": gallery.identities,
        "query_cameras": query.cameras,
        "gallery_cameras": gallery.cameras,
    }
    q, g = query.tensor(), gallery.tensor()
    assert evaluate(query, gallery).mAP == evaluate(q, g, **labels).mAP
    assert torch.equal(verify(query, gallery).threshold, verify(q, g, **labels).threshold)
    assert torch.equal(reid_ext.rerank(query, gallery, k1=3), reid_ext.rerank(q, g, k1=3))
    assert torch.equal(reid_ext.search(query, gallery, 2)[1], reid_ext.search(q, g, 2)[1])
    found = reid_ext.jaccard_distance(gallery, k1=3, k2=2)
    assert torch.equal(found.indices, reid_ext.jaccard_distance(g, k1=3, k2=2).indices)


def test_gallery_set_may_come_in_blocks_or_from_a_memory_map(tmp_path):
    query, gallery = pair()
    np.save(tmp_path / "g.npy", gallery.tensor().numpy())
    mapped = np.load(tmp_path / "g.npy", mmap_mode="r")
    columns = {"identities": gallery.identities, "cameras": gallery.cameras}
    want = evaluate(query, gallery)
    for features in (mapped, [mapped[:4], mapped[4:]]):
        got = evaluate(query, FeatureSet(features, **columns))
        assert torch.equal(got.average_precision, want.average_precision)
    blocks = FeatureSet([mapped[:4], mapped[4:]], **columns)
    assert blocks.is_in_blocks and len(blocks) == 9
    assert torch.equal(blocks.tensor(), gallery.tensor())
    with pytest.raises(ArgumentError, match="features must be one matrix to be indexed"):
        blocks[:3]
    with pytest.raises(
        ArgumentError, match="columns must have at least one column when the features"
    ):
        len(FeatureSet([mapped[:4]]))


def test_evaluate_raises_for_labels_beside_a_feature_set():
    query, gallery = pair()
    with pytest.raises(ArgumentError, match="query_ids must be left out when query is a Feat"):
        evaluate(query, gallery, query_ids=[1] * 6)
    with pytest.raises(ArgumentError, match="query_ids must be given when the features"):
        evaluate(query.tensor(), gallery)
    with pytest.raises(ArgumentError, match=r"query\.cameras must be given for protocol 'msmt17'"):
        evaluate(
            FeatureSet(query.tensor(), identities=query.identities), gallery, protocol="msmt17"
        )


def test_repr_shows_size_columns_and_source():
    text = repr(pair()[0])
    assert text == (
        "FeatureSet(6 x 4 float32; columns: identities, cameras; source: {'model': 'm'})"
    )


@pytest.mark.parametrize(
    ("name", "mine", "theirs"),
    [
        ("model", "a.pt", "b.pt"),
        ("weights", "imagenet", "none"),
        ("preprocessing", {"size": [256, 128]}, {"size": [384, 128]}),
    ],
)
def test_evaluate_raises_for_features_of_two_networks(name, mine, theirs):
    labels = {"identities": [1, 2, 3], "cameras": [1, 2, 3]}
    sets = [FeatureSet(torch.eye(3), source={name: of}, **labels) for of in (mine, theirs)]
    with pytest.raises(ArgumentError, match=f"gallery must hold features of the same {name}"):
        evaluate(*sets, protocol="generic")
    assert evaluate(sets[0], FeatureSet(torch.eye(3), **labels), protocol="generic").mAP == 1


def test_feature_set_can_be_copied_and_pickled():
    source = {"model": "a.pt"}
    one = FeatureSet(torch.eye(3), identities=[1, 2, 3], paths=["a", "b", "c"], source=source)
    for other in (copy.deepcopy(one), pickle.loads(pickle.dumps(one))):
        assert other.identities.tolist() == [1, 2, 3] and other.source == source
        assert torch.equal(other.features, one.features)
        with pytest.raises(TypeError):
            other.columns["cameras"] = [1, 2, 3]


@pytest.mark.parametrize("name", ["ids", "pids", "labels", "identites"])
def test_feature_set_asks_for_the_name_identities(name):
    with pytest.raises(ArgumentError, match=f"{name} must be called identities"):
        FeatureSet(torch.eye(3), cameras=[1, 2, 3], **{name: [1, 2, 3]})


def test_concat_keeps_people_of_two_datasets_apart():
    def one(dataset, identities, cameras):
        source = {"model": "m", "dataset": dataset}
        return FeatureSet(np.eye(2), identities=identities, cameras=cameras, source=source)

    market, duke = one("market1501", [1, -1], [1, 2]), one("dukemtmc-reid", [1, -1], [9, 9])
    with pytest.raises(ArgumentError, match=r"share no identities .*such as 1; add an offset"):
        market.concat(duke)
    with pytest.raises(ArgumentError, match=r"share no cameras .*2 in common, such as 1"):
        market.concat(one("dukemtmc-reid", [5, 6], [1, 2]))
    joined = market.concat(one("dukemtmc-reid", [101, -1], [11, 12]))
    assert joined.identities.tolist() == [1, -1, 101, -1]
    assert market.concat(one("market1501", [1, 2], [1, 2])).cameras.tolist() == [1, 2, 1, 2]
