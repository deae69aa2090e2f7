CREATE TABLE t (
    id INT PRIMARY KEY,
    c CHAR(10),
    zero CHAR(0),
    latin CHAR(255) CHARACTER SET latin1,
    four CHAR(255),
    wide CHAR(5) CHARACTER SET utf32
);
INSERT INTO t VALUES
    (1, '', '', '', '', ''),
    (2, 'a   ', '', REPEAT('é', 255), REPEAT('💾', 255), 'a  '),
    (3, '   ', '', ' é ', ' 💾 ', '   '),
    (4, '  a', '', 'a\tb ', 'a\0', '💾ž'),
    (5, '\t ', NULL, '\0', '\n\r', '\0'),
    (6, NULL, NULL, NULL, NULL, NULL);
