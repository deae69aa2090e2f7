-- An update that logs only what changed in a JSON value.
CREATE TABLE recorded.docs (id INT PRIMARY KEY, doc JSON);
INSERT INTO recorded.docs VALUES (1, '{"a": 1, "list": [1, 2, 3, 4, 5, 6, 7, 8, 9, 10]}');
SET SESSION binlog_row_value_options = 'PARTIAL_JSON', SESSION binlog_transaction_compression = OFF;
UPDATE recorded.docs SET doc = JSON_SET(doc, '$.a', 2);
