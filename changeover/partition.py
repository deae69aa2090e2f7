"""Which partition of its topic a key lies in: Kafka's own way, by the murmur2 of its default partitioner."""

SEED, FACTOR, SHIFT = 0x9747B28C, 0x5BD1E995, 24
WORD = 0xFFFF_FFFF


def partition_of(key: bytes, partitions: int) -> int:
    """The number of the key's partition, of so many; `log.kafka` has the client choose in the same way.

    >>> [partition_of(key, 7) for key in (b"21", b"foobar", b'{"id":1}')]
    [3, 0, 3]
    """
    return (murmur2(key) & 0x7FFF_FFFF) % partitions


def murmur2(data: bytes) -> int:
    """32 bits that stand for the bytes."""
    found = SEED ^ len(data)
    whole = len(data) // 4 * 4
    for start in range(0, whole, 4):
        word = int.from_bytes(data[start : start + 4], "little") * FACTOR & WORD
        word = (word ^ word >> SHIFT) * FACTOR & WORD
        found = (found * FACTOR & WORD) ^ word
    if whole < len(data):
        found = (found ^ int.from_bytes(data[whole:], "little")) * FACTOR & WORD
    found = (found ^ found >> 13) * FACTOR & WORD
    return found ^ found >> 15
