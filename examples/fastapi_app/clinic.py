"""A small web application through all phases of a move, without a line that asks for the phase.

    pip install fastapi uvicorn
    CHANGEOVER_CONFIG=changeover.toml uvicorn --app-dir examples/fastapi_app clinic:app

Endpoints are plain functions, which FastAPI runs in threads: the library blocks, and is made for threads.
"""

import os
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from decimal import Decimal
from pathlib import Path
from typing import Annotated

from fastapi import Cookie, FastAPI, HTTPException, Request, Response
from pydantic import BaseModel, Field

from changeover.dualwrite import DualStore
from changeover.errors import CommitUnknown, Unavailable

TABLE = "prescription"


class Prescription(BaseModel):
    """What a doctor writes."""

    dose: Decimal = Field(max_digits=8, decimal_places=3)
    note: str | None = None


@asynccontextmanager
async def open_store(app: FastAPI) -> AsyncIterator[None]:
    """One store for the process, made after the server has forked its workers."""
    with DualStore.from_settings(Path(os.environ["CHANGEOVER_CONFIG"])) as app.state.records:
        yield


app = FastAPI(lifespan=open_store)
Token = Annotated[str, Cookie(alias="writes")]


@app.put("/prescriptions/{number}", status_code=204)
def prescribe(number: int, it: Prescription, request: Request, answer: Response, token: Token = "") -> None:
    """Write it to wherever the phase says."""
    records: DualStore = request.app.state.records
    session = records.session(token)
    with records.transaction(session=session) as tx:
        # Left out in NEW, where tx.put alone says what becomes of it; until then the two are compared.
        tx.old.execute("REPLACE INTO prescription VALUES (%s, %s, %s)", (number, it.dose, it.note))
        # A DECIMAL is a text in the new database: in JSON no other number stays exact.
        tx.put(TABLE, number, {"id": number, "dose": f"{it.dose:.3f}", "note": it.note})
    answer.set_cookie("writes", session.token, httponly=True)


@app.delete("/prescriptions/{number}", status_code=204)
def withdraw(number: int, request: Request, answer: Response, token: Token = "") -> None:
    """Delete it."""
    records: DualStore = request.app.state.records
    session = records.session(token)
    with records.transaction(session=session) as tx:
        tx.old.execute("DELETE FROM prescription WHERE id = %s", (number,))
        tx.delete(TABLE, number)
    answer.set_cookie("writes", session.token, httponly=True)


@app.get("/prescriptions/{number}")
def look_up(number: int, request: Request, answer: Response, token: Token = "") -> Prescription:
    """Read it from wherever the phase says, and never older than this user has written."""
    records: DualStore = request.app.state.records
    found = records.get(TABLE, session=records.session(token), id=number)
    answer.headers["x-origin"] = found.origin
    if found.value is None:
        raise HTTPException(404)
    return Prescription(dose=found.value["dose"], note=found.value["note"])


@app.exception_handler(Unavailable)
def say_so(_: Request, error: Exception) -> Response:
    """A database that is needed does not answer: nothing was written, or nobody knows."""
    return Response(status_code=500 if isinstance(error, CommitUnknown) else 503, content=str(error))
