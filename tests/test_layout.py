"""Named views into one flat vector."""

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from elbo_lab.layout import Layout

LAYOUT = Layout((("W", (2, 3)), ("b", (3,)), ("log_sigma", ())))

shapes = st.lists(st.lists(st.integers(0, 3), max_size=3).map(tuple), max_size=4)
layouts = shapes.map(lambda s: Layout(tuple((f"p{i}", shape) for i, shape in enumerate(s))))


def test_size_is_the_number_of_all_parameters():
    assert LAYOUT.size == 10
    assert Layout(()).size == 0


def test_views_lie_in_the_vector_in_order_and_row_by_row():
    views = LAYOUT.views(np.arange(10.0))
    assert list(views) == ["W", "b", "log_sigma"]
    assert views["W"].tolist() == [[0, 1, 2], [3, 4, 5]]
    assert views["b"].tolist() == [6, 7, 8]
    assert views["log_sigma"].shape == () and views["log_sigma"] == 9


@pytest.mark.parametrize("lead", [(), (4,), (2, 3)])
def test_views_are_never_copies(lead):
    vector = np.zeros((*lead, 10))
    views = LAYOUT.views(vector)
    assert all(np.shares_memory(view, vector) for view in views.values())
    views["W"][..., 1, 2] = 7.0
    views["log_sigma"][...] = 8.0
    assert np.all(vector[..., [5, 9]] == [7.0, 8.0]) and vector.sum() == 15.0 * np.prod(lead)


@pytest.mark.parametrize("lead", [(), (4,), (2, 3)])
def test_one_view_is_that_among_all_and_no_copy(lead):
    vector = np.random.default_rng(0).standard_normal((*lead, 10))
    for name, view in LAYOUT.views(vector).items():
        assert np.array_equal(LAYOUT.view(vector, name), view)
        assert np.shares_memory(LAYOUT.view(vector, name), vector)


@given(layouts, st.lists(st.integers(1, 2), max_size=2).map(tuple), st.integers(0, 9))
def test_pack_undoes_views(layout, lead, seed):
    vector = np.random.default_rng(seed).standard_normal((*lead, layout.size))
    packed = layout.pack(layout.views(vector), lead=lead)
    assert np.array_equal(packed, vector)
    assert not np.shares_memory(packed, vector)


@given(layouts)
def test_every_coordinate_has_its_own_name_and_the_name_finds_it(layout):
    names = [layout.name_of(i) for i in range(layout.size)]
    assert len(set(names)) == layout.size
    views = layout.views(np.arange(float(layout.size)))
    for i, name in enumerate(names):
        block, _, where = name.rstrip("]").partition("[")
        index = tuple(int(w) for w in where.split(",")) if where else ()
        assert views[block][index] == i


def test_names_read_like_indexing():
    assert [LAYOUT.name_of(i) for i in (0, 5, 8, 9)] == ["W[0, 0]", "W[1, 2]", "b[2]", "log_sigma"]


def test_missing_parts_are_zero():
    assert LAYOUT.pack({"b": [1.0, 2.0, 3.0]}).tolist() == [0] * 6 + [1, 2, 3, 0]


def test_a_prefix_goes_before_every_name():
    longer = Layout((*LAYOUT.prefixed("decoder"), ("extra", ())))
    assert longer.name_of(5) == "decoder.W[1, 2]"
    assert longer.size == 11


def test_equal_layouts_are_equal_and_hash_equally():
    twin = Layout((("W", (2, 3)), ("b", (3,)), ("log_sigma", ())))
    assert twin == LAYOUT and hash(twin) == hash(LAYOUT)


@pytest.mark.parametrize("shape", [(9,), (11,), (10, 1)])
def test_a_vector_of_another_size_is_refused(shape):
    with pytest.raises(ValueError, match=r"last axis of 10 parameters.*shape \(" + str(shape[0])):
        LAYOUT.views(np.zeros(shape))


@pytest.mark.parametrize("index", [10, 1000])
def test_a_coordinate_outside_is_refused(index):
    with pytest.raises(ValueError, match=f"below 10, got {index}"):
        LAYOUT.name_of(index)


def test_an_unknown_part_is_refused_by_name():
    with pytest.raises(ValueError, match=r"'W', 'b', 'log_sigma'.*'w'"):
        LAYOUT.pack({"w": 0.0})


def test_a_part_of_the_wrong_shape_is_refused():
    with pytest.raises(ValueError, match="broadcast"):
        LAYOUT.pack({"b": np.zeros(4)})


def test_two_blocks_of_one_name_are_refused():
    with pytest.raises(ValueError, match=r"different names.*'a', 'a'"):
        Layout((("a", (2,)), ("a", ())))
