"""The sample database `records`: invented medical records, shaped as a Danish region's would be.

Between them the four tables use every column type that changeover moves, and the keys that are hard to move:
a text key that can change, a composite key, and an unsigned key of which a part lies above 2^63. A few rows
of each table hold its types' extremes; the others look like records of people.
"""

import json
import random
from collections.abc import Callable, Iterator, Sequence
from datetime import date, timedelta
from itertools import chain, islice
from typing import TYPE_CHECKING, Any, TypeVar

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

Value = None | int | float | str | bytes
Row = tuple[Value, ...]
OnProgress = Callable[[int, int], None]
T = TypeVar("T")

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

COLUMNS = {"citizen": 14, "medicine": 14, "prescription": 12, "dispensing": 13}

TINY_BLOB = bytes(range(256))
DATETIME_MAX = "9999-12-31 23:59:59"
TIMESTAMP_MIN, TIMESTAMP_MAX = "1970-01-01 00:00:01", "2038-01-19 03:14:07"  # in UTC, of MariaDB 10.11

# A row is easier to read as one than as a column of values.
# fmt: off
EXTREMES: dict[str, tuple[Row, ...]] = {
    "citizen": (
        ("010190-Xab1", "Åse Æbelø-Øster 🦉", "", 0, "ikke oplyst, ø", None, "1000-01-01", 0, 0.0, "", b"",
         "{}", "1000-01-01 00:00:00", TIMESTAMP_MIN),
        # Differs from the one above in the case of one letter only, and ends its texts with spaces.
        ("010190-XAb1", "Zoë 👩🏽‍⚕️ ", "Strandvejen 1  ", 65_535, "other", "AB-", "9999-12-31", 255,
         3.4028234663852886e38, "'\"\\\r\n\t\0%s ", TINY_BLOB[:32], '{"å": [1, 2.50, null, "\\u00e6🦉"]}',
         DATETIME_MAX, TIMESTAMP_MAX + ".999999"),
    ),
    "medicine": (
        (0, "", "", "næsespray", "-99999999.9999", "-0." + "0" * 29 + "1", -128, -32_768, 0, 5e-324, "",
         b"", "1000-01-01", TIMESTAMP_MIN),
        (4_294_967_295, "Ƶ" * 80, "Z99ZZ99", "tablet", "99999999.9999", "9" * 35 + "." + "9" * 30, 127,
         32_767, 2**64 - 1, -1.7976931348623157e308, "🦉" * 1_000, TINY_BLOB, "9999-12-31", TIMESTAMP_MAX),
    ),
    "prescription": (
        ("010190-Xab1", 0, 0, "open", "-99999.999", 0, "", -(2**63), b"", "1000-01-01",
         "1000-01-01 00:00:00.000", TIMESTAMP_MIN + ".001"),
        ("010190-XAb1", 4_294_967_295, 4_294_967_295, "cancelled", "99999.999", 255, None, 2**63 - 1,
         TINY_BLOB[-64:], "9999-12-31", DATETIME_MAX + ".999", TIMESTAMP_MAX + ".999"),
    ),
    "dispensing": (
        (0, "010190-Xab1", 0, -32_768, -(2**31), "-99999999.99", -(2**63), -1.401298464324817e-45,
         2.2250738585072014e-308, b"", "[]", "1000-01-01 00:00:00.000000", TIMESTAMP_MIN + ".000001"),
        (2**64 - 1, "010190-XAb1", 4_294_967_295, 32_767, 2**31 - 1, "99999999.99", 2**63 - 1, 16_777_216.0,
         0.1 + 0.2, TINY_BLOB, "null", DATETIME_MAX + ".999999", TIMESTAMP_MAX + ".999999"),
    ),
}
# fmt: on

DAY_FIRST = date(1925, 1, 1)
DAYS = 36_525
"""From 1925 to 2024: a hundred years, so that the two digits of a CPR number's year are never ambiguous."""

SERIALS = 10_000
CITIZENS_MAX = DAYS * SERIALS

# fmt: off
FIRST_NAMES = (
    "Anne", "Bodil", "Cæcilie", "Dorthe", "Ellen", "Freja", "Gudrun", "Håkon", "Ida", "Jørgen", "Kirsten",
    "Lærke", "Mette", "Niels", "Ove", "Pernille", "Rasmus", "Søren", "Troels", "Ulla", "Vibeke", "Åge",
    "Æskil", "Øjvind", "Nour", "Łukasz", "Siân", "Naïma", "Đặng", "José",
)
LAST_NAMES = (
    "Andersen", "Bøgh", "Christensen", "Dalgård", "Enevoldsen", "Frandsen", "Grønbæk", "Høj", "Iversen",
    "Jørgensen", "Kjær", "Lauritsen", "Møller", "Nygård", "Overgård", "Poulsen", "Rømer", "Sørensen",
    "Thygesen", "Væver", "Østergaard", "Ågesen", "Nielsen-Ørum", "O'Brien", "Şahin",
)
# fmt: on
STREETS = (
    "Nørregade",
    "Åboulevarden",
    "Sønder Allé",
    "Ærøvej",
    "Rådhuspladsen",
    "Bjørnsonsvej",
    "H.C. Ørsteds Vej",
)
TOWNS = ("8000 Aarhus C", "1620 København V", "5000 Odense C", "9000 Aalborg", "6700 Esbjerg", "3700 Rønne")
NOTES = (
    "Allergisk over for penicillin.",
    "Ønsker påmindelse pr. sms 📱",
    "Bør måle blodtryk hver uge; sidst 142/88.",
    'Siger selv: "Det går fint 🙂".',
    "Pårørende: datter, tlf. 20 30 40 50\nRinger kun efter kl. 16.",
    "",
)
DRUGS = (
    ("Panodil", "N02BE01"),
    ("Pinex", "N02BE01"),
    ("Ipren", "M01AE01"),
    ("Eliquis", "B01AF02"),
    ("Simvastatin", "C10AA01"),
    ("Metformin", "A10BA02"),
    ("Ozempic", "A10BJ06"),
    ("Eltroxin", "H03AA01"),
    ("Losartan", "C09CA01"),
    ("Ventoline", "R03AC02"),
    ("Imigran", "N02CC01"),
    ("Marevan", "B01AA03"),
)
FORMS = ("tablet", "kapsel", "mikstur", "injektion", "plaster", "næsespray")
SEXES = ("female", "male", "female", "male", "other", "ikke oplyst, ø")
BLOOD_GROUPS = ("0-", "0+", "A-", "A+", "B-", "B+", "AB-", "AB+", None)
STATUSES = ("open", "dispensed", "cancelled")
INSTRUCTIONS = (
    "1 tablet morgen og aften mod forhøjet blodtryk",
    "2 sug efter behov, højst 8 i døgnet",
    "½ tablet til natten",
    "Injiceres under huden én gang om ugen 💉",
    "Må ikke tages på tom mave",
    None,
)

POOL = 5_000
"""Texts and moments are drawn from this many prepared ones: making each anew would take half of the fill."""


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
    plan = _plan(Records(random.Random(seed)), rows)  # noqa: S311 - no secrets
    total = sum(count for _, count, _ in plan)
    done = 0
    with connection.cursor() as cursor:
        # Without it the TIMESTAMP texts would be read in the server's own zone, where an hour may not exist.
        cursor.execute("SET time_zone = '+00:00'")
        for table, _, made in plan:
            statement = insert_statement(table)
            while chunk := list(islice(made, ROWS_PER_INSERT)):
                connection.begin()
                cursor.executemany(statement, chunk)
                connection.commit()
                done += len(chunk)
                on_progress(done, total)
    return done


def insert_statement(table: str) -> str:
    """The INSERT of a whole row, with a place for each column, which PyMySQL makes into one of many rows."""
    places = ", ".join(["%s"] * COLUMNS[table])
    return f"INSERT INTO {SCHEMA}.{table} VALUES ({places})"


def citizen_number(index: int) -> str:
    """The CPR-like number of a citizen: another one for each index below `CITIZENS_MAX`.

    >>> citizen_number(0), citizen_number(1), citizen_number(36_525)
    ('010125-0000', '070946-2947', '010125-4001')
    """
    day = index * 7_919 % DAYS  # 7,919 and 4,001 have no factor in common with what they run through
    serial = (index // DAYS * 4_001 + day * 13) % SERIALS
    return f"{DAY_FIRST + timedelta(day):%d%m%y}-{serial:04}"


class Records:
    """Rows that look real, drawn from a source of chance: the same source gives the same rows."""

    def __init__(self, chance: random.Random) -> None:
        self._chance = chance.random
        self._randbytes = chance.randbytes
        days = [DAY_FIRST + timedelta(chance.randrange(DAYS)) for _ in range(POOL)]
        self._days = [f"{day:%Y-%m-%d}" for day in days]
        # From 1995 on, so that all of them are moments that a TIMESTAMP can hold.
        self._seconds = [_moment(chance) for _ in range(POOL)]
        self._names = [f"{chance.choice(FIRST_NAMES)} {chance.choice(LAST_NAMES)}" for _ in range(POOL)]
        self._addresses = [_address(chance) for _ in range(POOL)] + [None] * (POOL // 20)
        self._details = [_details(chance) for _ in range(POOL // 10)] + [None] * (POOL // 100)
        self._notes = [*NOTES, *NOTES, "".join(f"{note} " for note in NOTES) * 3, None, None]
        self._fingerprints = [chance.randbytes(32) for _ in range(POOL)] + [None] * (POOL // 20)
        self._blobs = [chance.randbytes(size % 49) for size in range(POOL)] + [None] * (POOL // 20)

    def pick(self, among: Sequence[T]) -> T:
        """One of them. `Random.choice` takes three times as long, and a row picks ten times."""
        return among[int(self._chance() * len(among))]

    def below(self, end: int) -> int:
        """A number from 0 to `end - 1`; not quite even above 2^53, which does not matter here."""
        return int(self._chance() * end)

    def moment(self, digits: int) -> str:
        """A moment of the last decades with that many digits of a second's fraction (at least one)."""
        return f"{self.pick(self._seconds)}.{self.below(10**digits):0{digits}}"

    def citizen(self, cpr: str) -> Row:
        """A row of `citizen`."""
        return (
            cpr,
            self.pick(self._names),
            self.pick(self._addresses),
            101 + self.below(760),
            self.pick(SEXES),
            self.pick(BLOOD_GROUPS),
            self.pick(self._days),
            45 + self.below(160),
            3 + self.below(1_200) / 10,
            self.pick(self._notes),
            self.pick(self._fingerprints),
            self.pick(self._details),
            self.pick(self._seconds),
            self.moment(6),
        )

    def medicine(self, number: int) -> Row:
        """A row of `medicine`."""
        name, atc = self.pick(DRUGS)
        form = self.pick(FORMS)
        strength = (5, 10, 20, 50, 250, 500)[self.below(6)]
        return (
            number,
            f"{name} {strength} mg {form}",
            atc,
            form,
            f"{strength}.{self.below(10_000):04}",
            f"{self.below(5_000)}.{self.below(10**15):015}{self.below(10**15):015}",
            self.below(45) - 20,
            self.below(2_000) - 1_000,
            self.below(2**64 - 2**12),
            self._chance() * 10 ** (self.below(20) - 10),
            self.pick(self._notes),
            self._randbytes(self.below(400)),
            self.pick(self._days),
            self.pick(self._seconds),
        )

    def prescription(self, cpr: str, number: int, medicines: int) -> Row:
        """A row of `prescription`, of one of the medicines below `medicines`."""
        return (
            cpr,
            number,
            1 + self.below(medicines),
            self.pick(STATUSES),
            f"{self.below(2_000)}.{self.below(1_000):03}",
            self.pick((1, 2, 3, 4, 6, 8, None)),
            self.pick(INSTRUCTIONS),
            self.below(2**53) - 2**52,
            self.pick(self._blobs),
            self.pick(self._days),
            self.moment(3),
            self.moment(3),
        )

    def dispensing(self, number: int, cpr: str) -> Row:
        """A row of `dispensing`."""
        return (
            number,
            cpr,
            1 + self.below(2),
            self.below(600) - 100,
            self.below(200) - 20,
            f"{self.below(4_000) - 200}.{self.below(100):02}",
            self.below(2**53) - 2**52,
            self.pick((None, 2.5, 4.1, 5.3, 7.9)),
            self._chance() * 100,
            self.pick(self._blobs),
            self.pick(self._details),
            self.moment(6),
            self.moment(6),
        )


def _moment(chance: random.Random) -> str:
    """A moment of 1995 to 2024."""
    day = date(1995, 1, 1) + timedelta(chance.randrange(10_950))
    return f"{day:%Y-%m-%d} {chance.randrange(24):02}:{chance.randrange(60):02}:{chance.randrange(60):02}"


def _address(chance: random.Random) -> str:
    return f"{chance.choice(STREETS)} {1 + chance.randrange(200)}, {chance.choice(TOWNS)}"


def _details(chance: random.Random) -> str:
    """A JSON text; the server keeps it as it is written, spaces, order of names and escapes included."""
    value = {
        "sprog": chance.choice(("da", "fo", "kl", "العربية")),
        "sms": chance.random() < CITIZENS_SHARE,
        "kontakt": {"navn": chance.choice(FIRST_NAMES), "tlf": [chance.randrange(20_000_000, 99_999_999)]},
        "score": chance.choice((None, 1, 2.50, 1e300, "½ 🦉")),
    }
    return json.dumps(value, ensure_ascii=chance.random() < 1 / 2)


def _plan(records: Records, rows: int) -> list[tuple[str, int, Iterator[Row]]]:
    """For each table its rows to come, and how many: `rows` in all, or a few more."""
    citizens = max(1, int(rows * CITIZENS_SHARE))
    medicines = max(1, min(MEDICINES_MAX, rows // 100))
    prescriptions = citizens * PRESCRIPTIONS_PER_CITIZEN
    dispensings = max(1, rows - citizens - medicines - prescriptions)
    numbers = [citizen_number(index) for index in range(citizens)]
    made: dict[str, tuple[int, Iterator[Row]]] = {
        "citizen": (citizens, map(records.citizen, numbers)),
        "medicine": (medicines, map(records.medicine, range(1, medicines + 1))),
        "prescription": (
            prescriptions,
            (
                records.prescription(cpr, number, medicines)
                for cpr in numbers
                for number in range(1, PRESCRIPTIONS_PER_CITIZEN + 1)
            ),
        ),
        "dispensing": (
            dispensings,
            (
                records.dispensing(DISPENSING_ID_FIRST + index, records.pick(numbers))
                for index in range(dispensings)
            ),
        ),
    }
    return [
        (table, count + len(EXTREMES[table]), chain(EXTREMES[table], rows))
        for table, (count, rows) in made.items()
    ]
