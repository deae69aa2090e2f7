"""The oracle: does the SQLite target hold what the MariaDB source holds, every row and every byte of it?

It judges the rest of the product, so it shares no code with it: it imports the standard library and PyMySQL
only, and reads both sides by itself. Each value becomes a *cell*, a text that shows its kind and its exact
bytes, and two values are the same if their cells are:

| cell | value |
|---|---|
| `n` | NULL |
| `i42` | an integer |
| `r4009…` | a REAL, by the hex of its 8 bytes (a FLOAT column: of the 4 bytes of its float32) |
| `t4142` | text, by the hex of its UTF-8 bytes |
| `b00ff` | bytes, by their hex |
| `absent` | the target's table has no such column |

The source makes its cells from the server's own text of the value (CAST AS CHAR) and HEX, in UTC; the
target from SQLite's typeof and hex. So 1 is not '1', 0.0 is not -0.0, and 'a' is not 'a '.
Columns that only the target has are not looked at.

What is not compared while the source is written to is two moments: stop the writers first.
"""

