CREATE TABLE t (
    id INT PRIMARY KEY,
    one BINARY(1),
    four BINARY(4),
    most BINARY(255),
    var VARBINARY(300),
    short VARBINARY(255)
);
INSERT INTO t VALUES
    (1, '', '', '', '', ''),
    (2, 'a', 'a', 'a', 'a', 'a'),
    (3, x'00', x'00000000', REPEAT(x'00', 255), x'00', x'0000'),
    (4, x'ff', x'61002000', REPEAT(x'ff', 255), x'6100', x'fffe'),
    (5, ' ', 'a  ', REPEAT(' ', 255), 'a ', ' '),
    (6, x'20', x'0000ff00', CONCAT(REPEAT(x'00', 254), x'01'), REPEAT(x'00', 300), REPEAT(x'ff', 255)),
    (7, NULL, NULL, NULL, NULL, NULL);
