"""Places in [0, 1) by hash: the same key always lands on the same place, whatever else there is."""

import hashlib


def unit_hash(key: str, salt: str = "") -> float:
    """Map a key to [0, 1), evenly and independently for each salt."""
    digest = hashlib.blake2b(f"{salt}\0{key}".encode(), digest_size=8).digest()
    return int.from_bytes(digest, "big") / 2**64
