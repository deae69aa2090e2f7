CREATE TABLE t (
    id INT PRIMARY KEY,
    tiny TINYBLOB,
    normal BLOB,
    medium MEDIUMBLOB,
    large LONGBLOB
);
INSERT INTO t VALUES
    (1, '', '', '', ''),
    (2, x'00', x'0000', x'ff', x'fffe'),
    (3, REPEAT(x'00', 255), REPEAT(x'ff', 65535), REPEAT(x'01', 65536), REPEAT(x'02', 1000000)),
    (4, 'abc', '''', '\\', ' '),
    (5, NULL, NULL, NULL, NULL);
