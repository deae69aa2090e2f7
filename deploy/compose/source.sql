-- A database to move, and what doctor asks for the user that moves it.
CREATE DATABASE IF NOT EXISTS records CHARACTER SET utf8mb4;
CREATE TABLE IF NOT EXISTS records.citizen (
    cpr CHAR(11) NOT NULL PRIMARY KEY,
    full_name VARCHAR(120) NOT NULL
);
GRANT REPLICATION SLAVE, REPLICATION CLIENT ON *.* TO 'changeover'@'%';
GRANT SELECT ON records.* TO 'changeover'@'%';
GRANT SELECT, INSERT, UPDATE, CREATE ON changeover.* TO 'changeover'@'%';
