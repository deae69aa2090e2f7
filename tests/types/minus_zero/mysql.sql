-- MariaDB stores no -0.0, however it is written; MySQL does.
CREATE TABLE t (id INT PRIMARY KEY, f FLOAT, d DOUBLE);
INSERT INTO t VALUES (1, -0e0, -0e0), (2, '-0', '-0.0'), (3, 0, 0), (4, -1e-50, -1e-400);
