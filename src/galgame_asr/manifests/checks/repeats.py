"""Utterances that stand more than once in a corpus, found by 64-bit hashes.

Among the 3.7 M utterances of the largest corpus here, two different ones share a
hash with a probability below one in a million, and 64 bits each are all that a
corpus of any size keeps in memory.
"""

import numpy as np
from numpy.typing import NDArray

Keys = NDArray[np.uint64]
Mask = NDArray[np.bool_]


def all_of(keys: Keys) -> Mask:
    """Every row whose key another row has too."""
    order, same = _sorted(keys)
    mask = np.zeros(len(keys), bool)
    mask[order[1:][same]] = True
    mask[order[:-1][same]] = True
    return mask


def all_but_first(keys: Keys) -> Mask:
    """Every row whose key an earlier row has."""
    order, same = _sorted(keys)
    mask = np.zeros(len(keys), bool)
    mask[order[1:][same]] = True
    return mask


def _sorted(keys: Keys) -> tuple[NDArray[np.intp], Mask]:
    """The stable order of keys, and which neighbours in it are equal."""
    order = np.argsort(keys, kind="stable")
    ranked = keys[order]
    return order, ranked[1:] == ranked[:-1]
