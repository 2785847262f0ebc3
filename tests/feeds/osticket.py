"""A schema shaped like osTicket's: names and kinds of columns as there, statements of our own."""

from __future__ import annotations

SCHEMA = (
    "CREATE TABLE ost_ticket_status (id INT UNSIGNED AUTO_INCREMENT PRIMARY KEY, name VARCHAR(60) NOT NULL,"
    " state VARCHAR(16), UNIQUE KEY name (name)) DEFAULT CHARSET=utf8mb3",
    "CREATE TABLE ost_department (id INT UNSIGNED AUTO_INCREMENT PRIMARY KEY, name VARCHAR(128) NOT NULL)"
    " DEFAULT CHARSET=utf8mb3",
    "CREATE TABLE ost_ticket (ticket_id INT UNSIGNED AUTO_INCREMENT PRIMARY KEY, ticket_pid INT UNSIGNED,"
    " number VARCHAR(20), user_id INT UNSIGNED NOT NULL DEFAULT 0,"
    " status_id INT UNSIGNED NOT NULL DEFAULT 0,"
    " dept_id INT UNSIGNED NOT NULL, staff_id INT UNSIGNED NOT NULL DEFAULT 0,"
    " source ENUM('Web','Email','Phone','API','Other') NOT NULL, source_extra VARCHAR(40),"
    " flags INT NOT NULL DEFAULT 0,"
    " isanswered TINYINT(1) NOT NULL DEFAULT 0, duedate DATETIME, closed DATETIME, lastupdate DATETIME,"
    " created DATETIME NOT NULL, updated DATETIME NOT NULL, KEY dept_id (dept_id), KEY extra (source_extra))"
    " ENGINE=InnoDB DEFAULT CHARSET=utf8mb3",
    "CREATE TABLE ost_ticket__cdata (ticket_id INT UNSIGNED PRIMARY KEY, subject MEDIUMTEXT, priority MEDIUMTEXT)"
    " DEFAULT CHARSET=utf8mb3",
    "CREATE TABLE ost_thread (id INT UNSIGNED AUTO_INCREMENT PRIMARY KEY, object_id INT UNSIGNED NOT NULL,"
    " object_type CHAR(1) NOT NULL, extra TEXT, lastmessage DATETIME, created DATETIME NOT NULL,"
    " KEY object_id (object_id)) DEFAULT CHARSET=utf8mb3",
    "CREATE TABLE ost_thread_entry (id INT UNSIGNED AUTO_INCREMENT PRIMARY KEY, pid INT UNSIGNED NOT NULL DEFAULT 0,"
    " thread_id INT UNSIGNED NOT NULL DEFAULT 0, staff_id INT UNSIGNED NOT NULL DEFAULT 0,"
    " type CHAR(1) NOT NULL DEFAULT '', flags INT UNSIGNED NOT NULL DEFAULT 0, poster VARCHAR(128) NOT NULL DEFAULT '',"
    " source CHAR(32) NOT NULL DEFAULT '', title VARCHAR(255), body TEXT NOT NULL,"
    " format VARCHAR(16) NOT NULL DEFAULT 'html', extra VARCHAR(190), created DATETIME NOT NULL,"
    " updated DATETIME NOT NULL, KEY thread_id (thread_id), UNIQUE KEY extra (extra)) DEFAULT CHARSET=utf8mb3",
    "CREATE TABLE ost_file (id INT AUTO_INCREMENT PRIMARY KEY, entry_id INT UNSIGNED NOT NULL,"
    " name VARCHAR(255) NOT NULL,"
    " type VARCHAR(255) NOT NULL DEFAULT '', size BIGINT NOT NULL DEFAULT 0, filedata LONGBLOB,"
    " created DATETIME NOT NULL) DEFAULT CHARSET=utf8mb3",
    "INSERT INTO ost_ticket_status (name, state) VALUES ('Open', 'open'), ('Waiting', 'open'), ('Resolved', 'closed'),"
    " ('Closed', 'closed'), ('Archived', 'archived')",
    "INSERT INTO ost_department (name) VALUES ('Support'), ('Engineers'), ('Developers')",
    "INSERT INTO ost_ticket (number, user_id, status_id, dept_id, source, created, updated)"
    " VALUES ('482913', 31, 1, 1, 'Email', '2026-11-19 10:00:00', '2026-11-19 10:00:00')",
    "INSERT INTO ost_ticket__cdata VALUES (1, 'Старий квиток', NULL)",
    "INSERT INTO ost_thread (object_id, object_type, created) VALUES (1, 'T', '2026-11-19 10:00:00'),"
    " (2, 'A', '2026-11-19 10:00:00')",
    "INSERT INTO ost_thread_entry (thread_id, type, poster, body, created, updated)"
    " VALUES (1, 'M', 'Olena', '<p>Добрий день</p>', '2026-11-19 10:00:00', '2026-11-19 10:00:00')",
)
GRANTS = (
    # Whatever tests before left of it: the server is one for all of a process.
    "CREATE OR REPLACE USER 'gw'@'127.0.0.1' IDENTIFIED BY 'gw-pass'",
    "GRANT SELECT, INSERT, UPDATE ON {db}.ost_ticket TO 'gw'@'127.0.0.1'",
    "GRANT SELECT, INSERT, UPDATE ON {db}.ost_ticket__cdata TO 'gw'@'127.0.0.1'",
    "GRANT SELECT, INSERT, UPDATE ON {db}.ost_thread TO 'gw'@'127.0.0.1'",
    "GRANT SELECT, INSERT ON {db}.ost_thread_entry TO 'gw'@'127.0.0.1'",
    "GRANT SELECT, INSERT ON {db}.ost_file TO 'gw'@'127.0.0.1'",
    "GRANT SELECT ON {db}.ost_ticket_status TO 'gw'@'127.0.0.1'",
    "GRANT SELECT ON {db}.ost_department TO 'gw'@'127.0.0.1'",
)
