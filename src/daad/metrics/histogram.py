"""A histogram of floats in bounded memory whose content never depends on the order or the split of the data."""

from __future__ import annotations

from typing import Any

import numpy as np
import numpy.typing as npt

Keys = npt.NDArray[Any]  # unsigned integers
Columns = npt.NDArray[np.int64]


def order_keys(values: npt.NDArray[np.float32]) -> npt.NDArray[np.uint32]:
    """The float32 values as uint32 keys in the same order: `a < b` exactly where `key(a) < key(b)`; -0.0 equals 0.0."""
    bits = (values + np.float32(0)).view(np.uint32)
    sign = (bits.view(np.int32) >> 31).view(np.uint32)
    return bits ^ (sign | np.uint32(0x80000000))


class Histogram:
    """Integer columns summed per key, at most `max_bins` keys.

    While the data has no more than `max_bins` distinct keys, the histogram is exact. Beyond that the lowest bits of
    all keys are cleared, one more at a time (`level`), until they fit. The number of distinct keys only grows with
    data. So the final level is the smallest that fits all data, however they were ordered or split. Columns are
    integers, and so is every sum.

    Args:
        dtype: of the keys, an unsigned integer type.
        columns: the number of columns.
        max_bins: distinct keys at most; at least 2, and at least 2 ** untouched_bits.
        untouched_bits: so many of the lowest bits name a group and are never cleared.

    Raises:
        ValueError: `max_bins` is too small.
    """

    def __init__(self, dtype: type[np.unsignedinteger[Any]], columns: int, max_bins: int, untouched_bits: int = 0):
        if max_bins < max(2, 1 << untouched_bits):
            raise ValueError(f"max_bins must be at least {max(2, 1 << untouched_bits)}, found {max_bins}")
        self.max_bins = max_bins
        self.untouched_bits = untouched_bits
        self.level = 0
        self.keys: Keys = np.empty(0, dtype=dtype)
        self.columns: Columns = np.empty((columns, 0), dtype=np.int64)

    def coarse(self, keys: Keys) -> Keys:
        """The keys with the bits below `level` cleared, but for the untouched ones."""
        cleared = ((1 << self.level) - 1) << self.untouched_bits
        mask: Keys = ~np.array([cleared], dtype=keys.dtype)
        return np.bitwise_and(keys, mask)

    def add(self, keys: Keys, columns: Columns) -> None:
        """Add `columns` (c, n) at `keys` (n,), in any order and with repeats."""
        all_keys = self.coarse(np.concatenate((self.keys, keys)))
        all_columns = np.concatenate((self.columns, columns), axis=1)
        while True:
            self.keys, self.columns = _sum_equal(all_keys, all_columns)
            if len(self.keys) <= self.max_bins:
                return
            self.level += 1
            all_keys, all_columns = self.coarse(self.keys), self.columns

    def merge(self, other: Histogram) -> None:
        """Add another histogram of the same kind; the coarser level of the two is taken."""
        if (self.max_bins, self.untouched_bits) != (other.max_bins, other.untouched_bits):
            raise ValueError(f"cannot merge histograms of {self.max_bins} and {other.max_bins} bins: use one max_bins")
        self.level = max(self.level, other.level)
        self.add(other.keys, other.columns)


def _sum_equal(keys: Keys, columns: Columns) -> tuple[Keys, Columns]:
    if keys.size == 0:
        return keys, columns
    order = np.argsort(keys, kind="stable")  # merges runs that are sorted already
    keys = keys[order]
    starts = np.flatnonzero(np.append(True, keys[1:] != keys[:-1]))
    sums = np.empty((len(columns), len(starts)), dtype=np.int64)
    for column, out in zip(columns, sums, strict=True):
        np.add.reduceat(column[order], starts, out=out)
    return keys[starts], sums
