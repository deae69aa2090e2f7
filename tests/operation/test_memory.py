"""What a daemon does with memory that it needs no more; that it does not grow, `make soak` shows."""

import subprocess
import sys

import pytest

# Large blocks come and go, a little larger each time; then one is taken of which glibc would think by now
# that it is small. Says whether it lies in the heap, from where it could not be given back.
TAKE = """
import ctypes
from changeover.process import give_back_memory
{first}
libc = ctypes.CDLL(None)
libc.malloc.restype = libc.sbrk.restype = ctypes.c_void_p
libc.free.argtypes = [ctypes.c_void_p]
for megabytes in range(1, 9):
    libc.free(libc.malloc(megabytes << 20))
block = libc.malloc(1 << 20)
print(block < libc.sbrk(0))
"""


@pytest.mark.parametrize(("first", "is_in_heap"), [("give_back_memory()", "False"), ("", "True")])
def test_large_blocks_are_given_back_however_many_there_were(first: str, is_in_heap: str) -> None:
    said = subprocess.run(
        [sys.executable, "-c", TAKE.format(first=first)], capture_output=True, text=True, check=True
    )
    assert said.stdout.strip() == is_in_heap
