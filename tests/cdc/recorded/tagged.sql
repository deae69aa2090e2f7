-- A transaction whose GTID has a tag, between two that have none.
CREATE TABLE recorded.few (id INT PRIMARY KEY);
INSERT INTO recorded.few VALUES (1);
SET SESSION gtid_next = 'AUTOMATIC:nightly_job';
INSERT INTO recorded.few VALUES (2);
SET SESSION gtid_next = 'AUTOMATIC';
INSERT INTO recorded.few VALUES (3);
