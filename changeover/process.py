"""What a process that we start runs first."""

import ctypes
import os
import signal
import sys
from collections.abc import Callable

PR_SET_PDEATHSIG = 1  # <sys/prctl.h>


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
