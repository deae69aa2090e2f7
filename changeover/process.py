"""What a process does first: one that we start, and a daemon of ours."""

import ctypes
import os
import signal
import sys
from collections.abc import Callable

PR_SET_PDEATHSIG = 1  # <sys/prctl.h>

M_MMAP_THRESHOLD = -3  # <malloc.h>
LARGE_BYTES = 128 * 1024
"""From here on a block of memory is taken from the system alone, and given back as soon as it is free."""


def give_back_memory() -> None:
    """Have large blocks given back to the system for as long as the process runs.

    glibc begins so, but raises its idea of "large" with each such block that is freed, up to 32 MB. Batches
    and packets then lie among small objects, and a daemon that holds no more than before grows by megabytes
    an hour (`make soak`). Another C library is left as it is.
    """
    mallopt = getattr(ctypes.CDLL(None), "mallopt", None)
    if mallopt:
        mallopt(M_MMAP_THRESHOLD, LARGE_BYTES)


def die_with_parent(number: signal.Signals) -> Callable[[], None] | None:
    """What a child runs before exec, so that the kernel sends it this signal when its parent dies.

    A parent that is killed with SIGKILL runs no clean-up, and its child would stay for ever. The kernel
    watches the *thread* that started the child: start it from a thread that lives as long as it should.
    All is looked up here, before the fork: in a child of a process with threads, an import could wait for
    a lock whose holder does not exist there.
    """
    if sys.platform != "linux":
        return None
    prctl = ctypes.CDLL(None, use_errno=True).prctl
    parent, kill, getppid, getpid = os.getpid(), os.kill, os.getppid, os.getpid

    def before_exec() -> None:
        prctl(PR_SET_PDEATHSIG, number)
        if getppid() != parent:  # it died before the line above; no work is begun that would have to be ended
            kill(getpid(), signal.SIGKILL)

    return before_exec
