"""Records and their columns: what is packed comes out again, in the order and to the nanosecond."""

from __future__ import annotations

import pickle
import struct

import pytest
from hypothesis import given
from hypothesis import strategies as st

from autotransfer.datastore.columns import column_holds, pack_column, unpack_column
from autotransfer.datastore.record import Delivered, Folder, InFlight, Record, Retry
from autotransfer.datastore.schema import is_sound

names = st.text(st.characters(blacklist_characters="/\0", blacklist_categories=()), min_size=1, max_size=20)
# Any the file system can say, also before 1970 and after 2262, where 64 bits of nanoseconds end.
moments = st.integers(-(2**65), 2**65) | st.integers(0, 2**62)
sizes = st.integers(0, 2**62) | st.integers(0, 2**33)
numbers = st.integers(0, 2**33)


@st.composite
def folders(draw: st.DrawFn) -> Folder:
    folder = Folder()
    delivered = st.builds(Delivered, moments, sizes, moments, numbers)
    folder.delivered = draw(st.dictionaries(names, delivered, max_size=8))
    folder.in_flight = draw(st.dictionaries(names, st.builds(InFlight, moments, sizes, numbers), max_size=3))
    retries = st.builds(Retry, moments, sizes, numbers, moments, st.text(max_size=9), numbers)
    folder.retries = draw(st.dictionaries(names, retries, max_size=3))
    folder.folders = draw(st.sets(names, max_size=4))
    folder.verify_until_ns = draw(moments)
    folder.carried_by = draw(numbers)
    return folder


@given(folders())
def test_a_folder_survives_packing(folder: Folder) -> None:
    record = Record.from_builtins(pickle.loads(pickle.dumps(tuple(folder.pack()), protocol=4)))
    read = Folder.unpack(record)

    for field in Folder.__slots__:
        assert getattr(read, field) == getattr(folder, field)
    assert list(read.delivered) == list(folder.delivered)
    delivered = {name: record.fingerprint for name, record in folder.delivered.items()}
    in_flight = {name: record.fingerprint for name, record in folder.in_flight.items()}
    assert record.fingerprints() == {**delivered, **in_flight}
    assert record.is_at_rest is not bool(folder.in_flight or folder.retries or folder.carried_by)
    assert record.recorded_names() == {*folder.delivered, *folder.in_flight, *folder.retries, *folder.folders}
    assert folder.is_blank is not any(record)


@given(st.lists(moments, min_size=1, max_size=50))
def test_any_column_of_times_survives_packing(mtimes: list[int]) -> None:
    folder = Folder()
    folder.delivered = {str(index): Delivered(mtime_ns, 0, 0, 0) for index, mtime_ns in enumerate(mtimes)}

    assert [record.mtime_ns for record in Folder.unpack(folder.pack()).delivered.values()] == mtimes


def test_a_file_costs_about_as_much_as_the_docstring_says() -> None:
    folder = Folder()
    folder.delivered = {
        f"frame{number:05}": Delivered(1_700_000_000 * 10**9 + number, 10**6 + number, 1_700_000_001 * 10**9, 7)
        for number in range(10_000)
    }

    assert len(pickle.dumps(tuple(folder.pack()))) < 35 * 10_000


def test_forgetting_leaves_doubt_up_to_the_last_transfer() -> None:
    folder = Folder()
    folder.delivered["x"] = Delivered(100, 1, 200, 1)
    folder.retries["y"] = Retry(300, 1, 1, 0, "", 1)
    folder.forget("x")
    assert folder.verify_until_ns == 200
    folder.forget("y")
    assert folder.verify_until_ns == 300
    folder.forget("unknown")
    assert folder.verify_until_ns == 300
    assert not (folder.delivered or folder.retries)


columns = st.lists(st.one_of(st.integers(0, 3), st.integers(-5, 2**33), st.integers(-(2**70), 2**70)), max_size=6)


@given(columns, columns, st.integers(0, 5), st.booleans())
def test_a_packed_column_holds_the_numbers_it_was_packed_from_and_no_others(
    ours: list[int], others: list[int], changed: int, may_be_offsets: bool
) -> None:
    column = pack_column(ours, may_be_offsets=may_be_offsets)

    assert unpack_column(column, len(ours)) == ours
    almost = [number + (at == changed) for at, number in enumerate(ours)]
    for candidate in (ours, others, almost):
        if len(candidate) == len(ours) and all(-(2**63) <= number < 2**63 for number in candidate):
            packed = struct.pack(f"<{len(candidate)}q", *candidate)
            assert column_holds(column, packed) is (candidate == ours)


@pytest.mark.parametrize(("spread", "size_bytes"), [(2**32 - 1, 8 + 3 * 4), (2**32, 3 * 8)])
def test_large_numbers_that_lie_close_together_may_take_four_bytes_each(spread: int, size_bytes: int) -> None:
    numbers = [-(2**60), -(2**60) + 7, -(2**60) + spread]

    column = pack_column(numbers, may_be_offsets=True)

    assert isinstance(column, tuple)
    assert (len(column[1]), unpack_column(column, 3)) == (size_bytes, numbers)


def test_what_was_delivered_at_different_lags_is_read_back() -> None:
    folder = Folder()
    folder.delivered = {name: Delivered(5, 1, 9, 1, 5, 10**18 + at) for at, name in enumerate("abc")}
    record = folder.pack()

    assert Folder.unpack(record).delivered == folder.delivered
    assert is_sound("/", tuple(record))
    assert isinstance(record.ctime_lags_ns, tuple)
    code, packed = record.ctime_lags_ns
    assert not is_sound("/", tuple(record._replace(ctime_lags_ns=(code, packed[:-1]))))
