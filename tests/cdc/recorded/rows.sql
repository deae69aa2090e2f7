-- Transactions that are compressed, the second of them beyond what is decompressed at once; one that is not; types of 9.x.
CREATE TABLE recorded.mixed (
    id INT UNSIGNED PRIMARY KEY, big BIGINT UNSIGNED, amount DECIMAL(20,6), ratio FLOAT, size DOUBLE, flags BIT(20),
    kind ENUM('small', 'žluť'), marks SET('a', 'b', 'c'), code CHAR(8), name VARCHAR(200), body TEXT, hash BINARY(6),
    data BLOB, day DATE, at DATETIME(6), seen TIMESTAMP(3) NULL, took TIME(4), made YEAR, doc JSON, place GEOMETRY,
    old VARCHAR(30) CHARACTER SET latin1, embedding VECTOR(4), secret INT INVISIBLE, twice INT AS (id * 2) STORED);
INSERT INTO recorded.mixed (id, big, amount, ratio, size, flags, kind, marks, code, name, body, hash, data, day, at, seen,
    took, made, doc, place, old, embedding, secret) VALUES
    (1, 18446744073709551615, -99999999999999.999999, 0.1, -0.0, b'10000000000000000001', 'žluť', 'a,c', 'x  ', 'ž💾', '', x'610000',
    x'00ff', '0001-01-01', '9999-12-31 23:59:59.999999', '2024-03-31 01:30:00.123', '-838:59:58.9999', 1901,
    '{"a": [1, -2.5, "x\\n", null, true, 12345678901234567890], "é": {"deep": [[]]}}', ST_GeomFromText('POINT(1 2)', 4326),
    'é€', STRING_TO_VECTOR('[1, -2, 0.5, 3e10]'), 7),
    (2, 0, 0, -1e-38, 1.7976931348623157e308, 0, 'small', '', '', '', NULL, x'', x'', NULL, '2024-02-29', NULL, '00:00:00', 2155,
    'null', NULL, '', NULL, NULL),
    (3, NULL, NULL, NULL, NULL, NULL, NULL, NULL, NULL, NULL, NULL, NULL, NULL, NULL, NULL, NULL, NULL, NULL, NULL, NULL, NULL, NULL, NULL);
CREATE TABLE recorded.many (id INT PRIMARY KEY, body MEDIUMTEXT);
INSERT INTO recorded.many WITH RECURSIVE n AS (SELECT 1 AS id UNION ALL SELECT id + 1 FROM n WHERE id < 400)
    SELECT id, REPEAT(SHA2(id, 256), 20) FROM n;
UPDATE recorded.many SET body = CONCAT(id, body) WHERE id <= 3;
DELETE FROM recorded.many WHERE id > 390;
SET SESSION binlog_transaction_compression = OFF;
UPDATE recorded.mixed SET name = 'plain' WHERE id = 3;
