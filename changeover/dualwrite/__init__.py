"""The application's library: dual writes and reads by phase. It needs no log, no daemon and no web."""

from changeover.dualwrite.answer import Answer, Origin
from changeover.dualwrite.session import Session
from changeover.dualwrite.store import DualStore
from changeover.dualwrite.transaction import Transaction

__all__ = ["Answer", "DualStore", "Origin", "Session", "Transaction"]
