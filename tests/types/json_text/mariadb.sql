-- JSON of MariaDB is text with a check, kept as it was written.
CREATE TABLE t (id INT PRIMARY KEY, j JSON);
INSERT INTO t VALUES
    (1, '{}'), (2, 'null'), (3, '"ž💾"'), (4, '{"b": 1.10, "a": [1, 2,  3]}'), (5, '12345678901234567890.10'),
    (6, ' true '), (7, '{"a": 1, "a": 2}'), (8, NULL);
