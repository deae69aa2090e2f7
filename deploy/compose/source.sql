-- A database to move, and what each account needs, no more: `changeover doctor` judges them.
CREATE DATABASE records CHARACTER SET utf8mb4;
CREATE TABLE records.prescription (
    id INT NOT NULL PRIMARY KEY,
    dose DECIMAL(8, 3) NOT NULL,
    note VARCHAR(50) NULL
);
SET SESSION cte_max_recursion_depth = 10000;
INSERT INTO records.prescription
    WITH RECURSIVE numbers (id) AS (SELECT 1 UNION ALL SELECT id + 1 FROM numbers WHERE id < 10000)
    SELECT id, id / 8, NULL FROM numbers;

-- Who captures and imports. The image has made it: MYSQL_USER.
GRANT REPLICATION SLAVE, REPLICATION CLIENT, CONNECTION_ADMIN ON *.* TO changeover@'%';
GRANT SELECT ON records.* TO changeover@'%';
GRANT SELECT, INSERT, UPDATE, CREATE ON changeover.* TO changeover@'%';

-- The application: its own tables, the phase, and what its processes tell.
GRANT SELECT, INSERT, DELETE ON records.* TO application@'%';
GRANT SELECT ON changeover.* TO application@'%';
-- These two are not there before capture is, and only with CREATE can more be granted on what is not there.
GRANT CREATE, INSERT, UPDATE ON changeover.process TO application@'%';
GRANT CREATE, INSERT, UPDATE ON changeover.heartbeat TO application@'%';
REVOKE CREATE ON changeover.process FROM application@'%';
REVOKE CREATE ON changeover.heartbeat FROM application@'%';

-- Who moves the phase, fences and verifies.
GRANT REPLICATION CLIENT, PROCESS, SYSTEM_VARIABLES_ADMIN, CONNECTION_ADMIN ON *.* TO operator@'%';
GRANT SELECT ON records.* TO operator@'%';
GRANT SELECT, INSERT, UPDATE, CREATE, DELETE, DROP ON changeover.* TO operator@'%';
