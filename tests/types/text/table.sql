CREATE TABLE t (
    id INT PRIMARY KEY,
    short VARCHAR(20),
    long_ VARCHAR(300),
    tiny TINYTEXT,
    normal TEXT,
    medium MEDIUMTEXT,
    large LONGTEXT,
    folded TEXT COLLATE utf8mb4_unicode_ci
);
INSERT INTO t VALUES
    (1, '', '', '', '', '', '', ''),
    (2, ' a ', REPEAT('💾', 300), REPEAT('x', 255), REPEAT('x', 65535), REPEAT('ž', 40000), REPEAT('💾', 100000), 'A'),
    (3, '   ', REPEAT('x', 255), ' ', '{}', 'NULL', '0', 'a'),
    (4, '\0', REPEAT('x', 256), '\r\n', '1.10', '\\', '%s', 'á'),
    (5, 'ž💾\\\'"%s', REPEAT('x', 300), '\t', '\0\0', '''', '"', 'á'),
    (6, '􏿿￿퟿', '', '߿ࠀ', '�', '﻿a', ' ', '𐀀'),
    (7, NULL, NULL, NULL, NULL, NULL, NULL, NULL);
