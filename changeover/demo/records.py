"""The sample database `records`: invented medical records, shaped as a Danish region's would be.

Between them the four tables use every column type that changeover moves, and the keys that are hard to move:
a text key that can change, a composite key, and an unsigned key of which a part lies above 2^63. A few rows
of each table hold its types' extremes; the others look like records of people.
"""

import random
from collections.abc import Callable, Iterator
from itertools import chain, islice
from typing import TYPE_CHECKING, Any

from changeover.demo.extremes import EXTREMES
from changeover.demo.rows import Records, Row, citizen_number

if TYPE_CHECKING:
    from pymysql.connections import Connection

SCHEMA = "records"
TABLES = ("citizen", "medicine", "prescription", "dispensing")

ROWS_DEFAULT = 200_000
ROWS_PER_INSERT = 1_000

MEDICINES_MAX = 2_000
CITIZENS_SHARE = 0.2
PRESCRIPTIONS_PER_CITIZEN = 2

DISPENSING_ID_FIRST = 2**63 - 50_000
"""The first dispensing's number: the later ones of a database of 200,000 rows lie above 2^63."""

OnProgress = Callable[[int, int], None]

DEFINITIONS = (
    """
    CREATE TABLE citizen (
        cpr CHAR(11) CHARACTER SET utf8mb4 COLLATE utf8mb4_bin NOT NULL COMMENT 'can change',
        full_name VARCHAR(120) NOT NULL,
        address VARCHAR(200) NULL,
        municipality SMALLINT UNSIGNED NOT NULL,
        sex ENUM('female', 'male', 'other', 'ikke oplyst, ø') NOT NULL,
        blood_group ENUM('0-', '0+', 'A-', 'A+', 'B-', 'B+', 'AB-', 'AB+') NULL,
        born_on DATE NOT NULL,
        height_cm TINYINT UNSIGNED NULL,
        weight_kg FLOAT NULL,
        note TEXT NULL,
        fingerprint VARBINARY(32) NULL,
        preferences JSON NULL,
        registered_at DATETIME NOT NULL,
        changed_at TIMESTAMP(6) NOT NULL DEFAULT CURRENT_TIMESTAMP(6) ON UPDATE CURRENT_TIMESTAMP(6),
        PRIMARY KEY (cpr)
    ) ENGINE = InnoDB
    """,
    """
    CREATE TABLE medicine (
        id INT UNSIGNED NOT NULL,
        name VARCHAR(80) NOT NULL,
        atc CHAR(7) NOT NULL,
        form ENUM('tablet', 'kapsel', 'mikstur', 'injektion', 'plaster', 'næsespray') NOT NULL,
        strength DECIMAL(12, 4) NOT NULL,
        price DECIMAL(65, 30) NULL,
        store_at_c TINYINT NOT NULL,
        stock_change SMALLINT NOT NULL,
        barcode BIGINT UNSIGNED NOT NULL,
        half_life_h DOUBLE NULL,
        leaflet TEXT NULL,
        picture BLOB NULL,
        approved_on DATE NOT NULL,
        changed_at TIMESTAMP NOT NULL DEFAULT CURRENT_TIMESTAMP ON UPDATE CURRENT_TIMESTAMP,
        PRIMARY KEY (id)
    ) ENGINE = InnoDB
    """,
    """
    CREATE TABLE prescription (
        cpr CHAR(11) CHARACTER SET utf8mb4 COLLATE utf8mb4_bin NOT NULL,
        number INT UNSIGNED NOT NULL,
        medicine_id INT UNSIGNED NOT NULL,
        status ENUM('open', 'dispensed', 'cancelled') NOT NULL,
        dose DECIMAL(8, 3) NOT NULL,
        doses_a_day TINYINT UNSIGNED NULL,
        instructions VARCHAR(255) NULL,
        prescriber BIGINT NOT NULL,
        signature VARBINARY(64) NULL,
        issued_on DATE NOT NULL,
        issued_at DATETIME(3) NOT NULL,
        changed_at TIMESTAMP(3) NOT NULL DEFAULT CURRENT_TIMESTAMP(3) ON UPDATE CURRENT_TIMESTAMP(3),
        PRIMARY KEY (cpr, number)
    ) ENGINE = InnoDB
    """,
    # The cpr is the one that was shown at the counter: it stays when the citizen's changes.
    """
    CREATE TABLE dispensing (
        id BIGINT UNSIGNED NOT NULL,
        cpr CHAR(11) NOT NULL,
        number INT UNSIGNED NOT NULL,
        pharmacy SMALLINT NOT NULL,
        quantity INT NOT NULL,
        paid DECIMAL(10, 2) NOT NULL,
        balance_oere BIGINT NOT NULL,
        fridge_c FLOAT NULL,
        dispensed_g DOUBLE NOT NULL,
        receipt BLOB NULL,
        details JSON NULL,
        dispensed_at DATETIME(6) NOT NULL,
        changed_at TIMESTAMP(6) NOT NULL DEFAULT CURRENT_TIMESTAMP(6) ON UPDATE CURRENT_TIMESTAMP(6),
        PRIMARY KEY (id)
    ) ENGINE = InnoDB
    """,
)


def create(connection: "Connection[Any]", *, json_type: str = "JSON") -> None:
    """Make the database `records` and its four empty tables, in place of any that is there.

    `json_type` is what a JSON column is declared as: on MySQL, whose JSON is not text, LONGTEXT will do.
    """
    with connection.cursor() as cursor:
        cursor.execute(f"DROP DATABASE IF EXISTS {SCHEMA}")
        cursor.execute(f"CREATE DATABASE {SCHEMA} CHARACTER SET utf8mb4")
        cursor.execute(f"USE {SCHEMA}")
        for definition in DEFINITIONS:
            cursor.execute(definition.replace(" JSON ", f" {json_type} "))


def fill(
    connection: "Connection[Any]",
    rows: int = ROWS_DEFAULT,
    seed: int = 1,
    *,
    on_progress: OnProgress = lambda _done, _total: None,
) -> int:
    """Insert `rows` rows in all, or a few more, and return how many; a transaction every thousand.

    The same `rows` and `seed` give the same rows, down to the last bit. `on_progress` is told the rows done
    and the rows in all after each transaction.
    """
    counts = _counts(rows)
    total = sum(counts.values()) + sum(map(len, EXTREMES.values()))
    made = _made(Records(random.Random(seed)), counts)  # noqa: S311 - no secrets
    done = 0
    with connection.cursor() as cursor:
        # Without it the TIMESTAMP texts would be read in the server's own zone, where an hour may not exist.
        cursor.execute("SET time_zone = '+00:00'")
        for table in TABLES:
            extremes = (tuple(row.values()) for row in EXTREMES[table])
            left = chain(extremes, made[table])
            while chunk := list(islice(left, ROWS_PER_INSERT)):
                connection.begin()
                cursor.executemany(insert_statement(table), chunk)
                connection.commit()
                done += len(chunk)
                on_progress(done, total)
    return done


def insert_statement(table: str) -> str:
    """The INSERT of a whole row, with a place for each column, which PyMySQL makes into one of many rows.

    >>> insert_statement("prescription")
    'INSERT INTO records.prescription VALUES (%s, %s, %s, %s, %s, %s, %s, %s, %s, %s, %s, %s)'
    """
    places = ", ".join(["%s"] * len(EXTREMES[table][0]))
    return f"INSERT INTO {SCHEMA}.{table} VALUES ({places})"


def _counts(rows: int) -> dict[str, int]:
    """How many rows each table gets beside its extremes."""
    citizens = max(1, int(rows * CITIZENS_SHARE))
    medicines = max(1, min(MEDICINES_MAX, rows // 100))
    prescriptions = citizens * PRESCRIPTIONS_PER_CITIZEN
    return {
        "citizen": citizens,
        "medicine": medicines,
        "prescription": prescriptions,
        "dispensing": max(1, rows - citizens - medicines - prescriptions),
    }


def _made(records: Records, counts: dict[str, int]) -> dict[str, Iterator[Row]]:
    """The rows of each table, each drawn when it is asked for."""
    numbers = [citizen_number(index) for index in range(counts["citizen"])]
    medicines = range(1, counts["medicine"] + 1)
    of_one = range(1, PRESCRIPTIONS_PER_CITIZEN + 1)
    dispensings = range(DISPENSING_ID_FIRST, DISPENSING_ID_FIRST + counts["dispensing"])
    return {
        "citizen": (records.citizen(cpr) for cpr in numbers),
        "medicine": (records.medicine(number) for number in medicines),
        "prescription": (
            records.prescription(cpr, number, len(medicines)) for cpr in numbers for number in of_one
        ),
        "dispensing": (records.dispensing(number, records.pick(numbers)) for number in dispensings),
    }
