-- What the source's user needs: to read the tables, the binlog, and to keep the control schema.
CREATE DATABASE IF NOT EXISTS records CHARACTER SET utf8mb4;
GRANT SELECT ON records.* TO 'changeover'@'%';
GRANT REPLICATION SLAVE, BINLOG MONITOR ON *.* TO 'changeover'@'%';
GRANT ALL ON changeover.* TO 'changeover'@'%';
