CREATE TABLE t (
    id INT PRIMARY KEY,
    a INT,
    doubled INT AS (a * 2) VIRTUAL,
    kept VARCHAR(20) CHARACTER SET latin1 AS (CONCAT('é', a)) STORED,
    b VARCHAR(9),
    small VARCHAR(9) AS (LOWER(b)) VIRTUAL,
    KEY (doubled)
);
INSERT INTO t (id, a, b) VALUES (1, 1, 'ABC'), (2, -5, ''), (3, NULL, NULL);
